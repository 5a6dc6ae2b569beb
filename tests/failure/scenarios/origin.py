"""An origin dies, freezes, or is cut off."""

import asyncio
from time import monotonic

from tests.failure.lab import Fault, Lab, other
from tests.failure.row import Limits
from tests.failure.scenario import Scenario

NOTICE_S = 1.0
"""After so long an encoder whose origin says nothing goes elsewhere."""

FENCED_S = 4.0
"""More than a renewal period: an origin that is back knows what it has lost."""

_SILENCE_MS = 3000.0  # relay.silence_s


async def worker_killed(lab: Lab) -> Fault:
    """Kill the worker that has most streams; its encoders lose their connection at once."""
    victim = lab.busiest_origin()
    slots = await lab.slots_of(victim)
    slot = max(slots, key=lambda each: len(slots[each]))
    at = await lab.kill_worker(victim, slot)
    return Fault(at=at, streams=slots[slot])


async def node_killed(lab: Lab) -> Fault:
    """Kill all processes of a node."""
    victim = lab.busiest_origin()
    streams = lab.streams_at(victim)
    return Fault(at=await lab.cluster.kill(victim), streams=streams)


async def frozen(lab: Lab) -> Fault:
    """Stop all processes of a node; let them go on when its encoders have gone elsewhere."""
    victim = lab.busiest_origin()
    streams = lab.streams_at(victim)
    at = lab.cluster.pause(victim)
    await _left(lab, victim)
    back_at = monotonic()
    lab.cluster.resume_all()
    await asyncio.sleep(FENCED_S)
    return Fault(at=at, streams=streams, zombie=victim, zombie_back_at=back_at)


async def cut_off_from_edges(lab: Lab) -> Fault:
    """Let nothing pass between a node and the edges; its encoders notice nothing and stay."""
    victim = lab.busiest_origin()
    at = lab.cluster.part(victim)
    await asyncio.sleep(5.0)
    lab.cluster.rejoin(victim)
    return Fault(at=at, streams=lab.streams_at(victim))


async def cut_off_from_edges_and_left(lab: Lab) -> Fault:
    """The same, and the encoders are moved to another origin."""
    victim = lab.busiest_origin()
    streams = lab.streams_at(victim)
    at = lab.cluster.part(victim)
    await _left(lab, victim)
    back_at = monotonic()
    lab.cluster.rejoin(victim)
    return Fault(at=at, streams=streams, zombie=victim, zombie_back_at=back_at)


async def cut_off_from_redis(lab: Lab) -> Fault:
    """Keep a node from Redis for longer than its leases last; nobody else takes its streams."""
    victim = lab.busiest_origin()
    streams = lab.streams_at(victim)
    at = monotonic()
    lab.cluster.redis_proxies[victim].freeze()
    await asyncio.sleep(13.0)
    await lab.cluster.redis_proxies[victim].heal()
    return Fault(at=at, streams=streams)


async def paused(lab: Lab) -> Fault:
    """Stop all processes of a node for less than the silence time-out; its encoders stay."""
    victim = lab.busiest_origin()
    streams = lab.streams_at(victim)
    at = lab.cluster.pause(victim)
    await asyncio.sleep(2.0)
    lab.cluster.resume_all()
    return Fault(at=at, streams=streams)


async def announcement_missed(lab: Lab) -> Fault:
    """Kill a node while the edges have lost their connection to Redis."""
    victim = lab.busiest_origin()
    streams = lab.streams_at(victim)
    for edge in lab.cluster.edges:
        lab.cluster.redis_proxies[edge].refuse()
        lab.cluster.redis_proxies[edge].cut()
    at = await lab.cluster.kill(victim)
    await asyncio.sleep(3.0)
    for edge in lab.cluster.edges:
        await lab.cluster.redis_proxies[edge].heal()
    return Fault(at=at, streams=streams)


async def split_brain(lab: Lab) -> Fault:
    """Keep a node from Redis; meanwhile other encoders publish its streams at another origin."""
    victim = lab.busiest_origin()
    streams = lab.streams_at(victim)
    at = monotonic()
    lab.cluster.redis_proxies[victim].freeze()
    for stream in streams:
        await lab.second_publisher(stream, other(victim))
    await asyncio.sleep(5.0)
    back_at = monotonic()
    await lab.cluster.redis_proxies[victim].heal()
    await asyncio.sleep(FENCED_S)
    return Fault(at=at, streams=streams, zombie=victim, zombie_back_at=back_at)


async def _left(lab: Lab, victim: str) -> None:
    """Have the encoders of an origin notice that it is silent, and go on at another one."""
    await asyncio.sleep(NOTICE_S)
    for stream in lab.streams_at(victim):
        await lab.move(stream, other(victim), how="abandon")
    await asyncio.sleep(3.0)


_AT_ONCE = Limits(new_source_ms=500)
_AFTER_SILENCE = Limits(new_source_ms=_SILENCE_MS + 500)

SCENARIOS = (
    Scenario("origin-worker-killed", "Origin worker: kill -9", worker_killed, _AT_ONCE, quick=True),
    Scenario("origin-node-killed", "Origin node: kill -9", node_killed, _AT_ONCE, quick=True),
    Scenario(
        "origin-paused",
        "Origin frozen for 2 s (SIGSTOP), encoders stay",
        paused,
        Limits(new_session=False, gap_ms=2500),
    ),
    Scenario(
        "origin-killed-unannounced",
        "Origin node: kill -9 while edges are without Redis for 3 s",
        announcement_missed,
        Limits(gap_ms=3000 + 2500),
    ),
    Scenario(
        "origin-frozen",
        "Origin frozen for 4 s (SIGSTOP), encoders leave after 1 s",
        frozen,
        _AFTER_SILENCE,
    ),
    Scenario(
        "origin-cut-off-from-edges",
        "Origin and edges parted for 5 s, encoders stay",
        cut_off_from_edges,
        Limits(lost=True, new_session=False, gap_ms=5000 + 500 + 2000),
    ),
    Scenario(
        "origin-cut-off-from-edges-and-left",
        "Origin and edges parted for 4 s, encoders leave after 1 s",
        cut_off_from_edges_and_left,
        _AFTER_SILENCE,
    ),
    Scenario(
        "origin-cut-off-from-redis",
        "Origin and Redis parted for 13 s, encoders stay",
        cut_off_from_redis,
        Limits(new_session=False, gap_ms=1000),
    ),
    Scenario(
        "split-brain",
        "Origin and Redis parted for 5 s, streams claimed elsewhere meanwhile",
        split_brain,
        _AT_ONCE,
    ),
)
