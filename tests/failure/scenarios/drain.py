"""A node is taken out of service in good order, or gets new settings."""

import os
import signal
from time import monotonic

from tests.failure.lab import Fault, Lab
from tests.failure.row import Limits
from tests.failure.scenario import Scenario

END_S = 30.0


async def origin_drained(lab: Lab) -> Fault:
    """Ask an origin to end; its encoders go to the other one."""
    victim = lab.busiest_origin()
    streams = lab.streams_at(victim)
    at = monotonic()
    os.kill(lab.cluster.node(victim).info.pid, signal.SIGTERM)
    await lab.cluster.node(victim).process.ended()
    return Fault(at=at, streams=streams)


async def origin_reloaded(lab: Lab) -> Fault:
    """Have an origin replace its workers."""
    victim = lab.busiest_origin()
    streams = lab.streams_at(victim)
    before = set((await lab.cluster.worker_pids(victim)).values())
    at = monotonic()
    os.kill(lab.cluster.node(victim).info.pid, signal.SIGHUP)
    await lab.cluster.until_ended(before, END_S)
    return Fault(at=at, streams=streams)


SCENARIOS = (
    Scenario(
        "origin-drained",
        "Origin node: SIGTERM",
        origin_drained,
        Limits(gap_ms=1000, new_source_ms=500),
    ),
    Scenario(
        "origin-reloaded",
        "Origin node: SIGHUP, old workers retire after 3 s",
        origin_reloaded,
        Limits(gap_ms=1000, new_source_ms=500),
        settings=("supervisor.retire_s=3",),
    ),
)
