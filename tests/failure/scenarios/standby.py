"""A second publisher of each stream stands by at another origin, and the first is lost."""

import asyncio
import os
import signal
from time import monotonic

from tests.failure.lab import Fault, Lab, other
from tests.failure.row import Limits
from tests.failure.scenario import Act, Scenario

WARM_S = 2.0
"""Until a standby has a GOP at hand."""

_SILENCE_MS = 3000.0  # relay.silence_s


async def _stand_by(lab: Lab, origin: str) -> frozenset[str]:
    streams = lab.streams_at(origin)
    for stream in streams:
        await lab.second_publisher(stream, other(origin))
    await asyncio.sleep(WARM_S)
    return streams


async def encoder_dropped(lab: Lab) -> Fault:
    """End the connections of the first publishers as a crash does."""
    streams = await _stand_by(lab, lab.busiest_origin())
    at = monotonic()
    for stream in streams:
        await lab.publishers.ask("stop", stream=stream, how="abort")
    return Fault(at=at, streams=streams)


async def origin_killed(lab: Lab) -> Fault:
    """Kill the node of the first publishers, who do not come back."""
    victim = lab.busiest_origin()
    streams = await _stand_by(lab, victim)
    return Fault(at=await lab.cluster.kill(victim), streams=streams)


async def origin_drained(lab: Lab) -> Fault:
    """Ask the node of the first publishers to end."""
    victim = lab.busiest_origin()
    streams = await _stand_by(lab, victim)
    at = monotonic()
    os.kill(lab.cluster.node(victim).info.pid, signal.SIGTERM)
    await lab.cluster.node(victim).process.ended()
    return Fault(at=at, streams=streams)


async def origin_frozen(lab: Lab) -> Fault:
    """Stop the node of the first publishers; let it go on when the others were promoted."""
    victim = lab.busiest_origin()
    streams = await _stand_by(lab, victim)
    at = lab.cluster.pause(victim)
    await asyncio.sleep(6.0)
    back_at = monotonic()
    lab.cluster.resume_all()
    await asyncio.sleep(4.0)  # more than a renewal period
    return Fault(at=at, streams=streams, zombie=victim, zombie_back_at=back_at)


def _scenario(name: str, title: str, act: Act, gap_ms: float = 1000) -> Scenario:
    limits = Limits(new_session=False, gap_ms=gap_ms)
    return Scenario(name, title, act, limits, settings=("publish.policy=standby",))


SCENARIOS = (
    _scenario(
        "standby-encoder-dropped",
        "Encoders lost, others stand by at another origin",
        encoder_dropped,
    ),
    _scenario(
        "standby-origin-killed",
        "Origin node: kill -9, others stand by at another origin",
        origin_killed,
    ),
    _scenario(
        "standby-origin-drained",
        "Origin node: SIGTERM, others stand by at another origin",
        origin_drained,
    ),
    _scenario(
        "standby-origin-frozen",
        "Origin frozen for 6 s (SIGSTOP), others stand by at another origin",
        origin_frozen,
        gap_ms=_SILENCE_MS + 1000,
    ),
)
