"""An encoder restarts, drops, or is set in another way."""

import asyncio
from time import monotonic

from tests.failure.lab import Fault, Lab, other
from tests.failure.row import Limits
from tests.failure.scenario import Act, Scenario


def restart(how: str, *, stay: bool, variant: int = 0, audio: bool = True) -> Act:
    """Make a scenario: all encoders end their sessions in one way and come back at once."""

    async def act(lab: Lab) -> Fault:
        if variant or not audio:
            for stream in lab.streams:
                await lab.publishers.ask("shape", stream=stream, variant=variant, audio=audio)
        at = monotonic()
        for stream in lab.streams:
            here = lab.origin_of(stream)
            await lab.move(stream, here if stay else other(here), how=how)
        await asyncio.sleep(0.5)
        return Fault(at=at, streams=frozenset(lab.streams))

    return act


_LIMITS = Limits(new_source_ms=500)

SCENARIOS = (
    Scenario(
        "encoder-restart-clean",
        "Encoders restart, to the same origin",
        restart("leave", stay=True),
        _LIMITS,
        quick=True,
    ),
    Scenario(
        "encoder-restart-elsewhere",
        "Encoders restart, to another origin",
        restart("leave", stay=False),
        _LIMITS,
    ),
    Scenario(
        "encoder-half-open-same-origin",
        "Encoders drop without a word, back at the same origin",
        restart("abandon", stay=True),
        _LIMITS,
    ),
    Scenario(
        "encoder-half-open-elsewhere",
        "Encoders drop without a word, back at another origin",
        restart("abandon", stay=False),
        _LIMITS,
    ),
    Scenario(
        "encoder-other-codecs",
        "Encoders come back elsewhere with other codec settings",
        restart("abort", stay=False, variant=3),
        _LIMITS,
        quick=True,
    ),
    Scenario(
        "encoder-without-audio",
        "Encoders come back without sound",
        restart("abort", stay=True, audio=False),
        _LIMITS,
    ),
)
