"""A second publisher of each stream stands by at another origin, and the first is lost."""

import asyncio
import os
import signal
from time import monotonic

from tests.failure.lab import Fault, Lab, other
from tests.failure.row import Limits
from tests.failure.scenario import Scenario

WARM_S = 2.0
"""Until a standby has a GOP at hand."""

_SETTINGS = ("publish.policy=standby",)
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


SCENARIOS = (
    Scenario(
        name="standby-encoder-dropped",
        title="Encoders lost, others stand by at another origin",
        act=encoder_dropped,
        limits=Limits(new_session=False, gap_ms=1000),
        settings=_SETTINGS,
    ),
    Scenario(
        name="standby-origin-killed",
        title="Origin node: kill -9, others stand by at another origin",
        act=origin_killed,
        limits=Limits(new_session=False, gap_ms=1000),
        settings=_SETTINGS,
    ),
    Scenario(
        name="standby-origin-drained",
        title="Origin node: SIGTERM, others stand by at another origin",
        act=origin_drained,
        limits=Limits(new_session=False, gap_ms=1000),
        settings=_SETTINGS,
    ),
    Scenario(
        name="standby-origin-frozen",
        title="Origin frozen for 6 s (SIGSTOP), others stand by at another origin",
        act=origin_frozen,
        limits=Limits(new_session=False, gap_ms=_SILENCE_MS + 1000),
        settings=_SETTINGS,
    ),
)
