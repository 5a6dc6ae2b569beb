"""An encoder restarts, drops, or is set in another way."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

from tests.failure.lab import Fault, Lab, other
from tests.failure.row import Limits
from tests.failure.scenario import Scenario


def restart(
    how: str, *, stay: bool, variant: int = 0, audio: bool = True
) -> Callable[[Lab], Awaitable[Fault]]:
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
        name="encoder-restart-clean",
        title="Encoders restart, to the same origin",
        act=restart("leave", stay=True),
        limits=_LIMITS,
        quick=True,
    ),
    Scenario(
        name="encoder-restart-elsewhere",
        title="Encoders restart, to another origin",
        act=restart("leave", stay=False),
        limits=_LIMITS,
    ),
    Scenario(
        name="encoder-half-open-same-origin",
        title="Encoders drop without a word, back at the same origin",
        act=restart("abandon", stay=True),
        limits=_LIMITS,
    ),
    Scenario(
        name="encoder-half-open-elsewhere",
        title="Encoders drop without a word, back at another origin",
        act=restart("abandon", stay=False),
        limits=_LIMITS,
    ),
    Scenario(
        name="encoder-other-codecs",
        title="Encoders come back elsewhere with other codec settings",
        act=restart("abort", stay=False, variant=3),
        limits=_LIMITS,
        quick=True,
    ),
    Scenario(
        name="encoder-without-audio",
        title="Encoders come back without sound",
        act=restart("abort", stay=True, audio=False),
        limits=_LIMITS,
    ),
)
