"""Redis restarts, is emptied, fails over, answers slowly, or is gone."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from time import monotonic
from typing import Final

from redis.asyncio import Redis

from tests.failure.cluster import until_true
from tests.failure.lab import Fault, Lab
from tests.failure.row import Limits
from tests.failure.scenario import Scenario
from tests.support.wait import until

NEW: Final = "live/new"

FAILOVER_S: Final = 20.0
"""It takes about three seconds."""

COMPLETE_S: Final = 3.0 + 0.5
"""A renewal period, and until that is seen."""


async def restarted(lab: Lab) -> Fault:
    """Kill Redis and start it again, empty."""
    at = monotonic()
    await lab.cluster.redis.kill()
    await lab.cluster.redis.start()
    return _all(lab, at)


async def flushed(lab: Lab) -> Fault:
    """Empty Redis while everybody is connected to it."""
    at = monotonic()
    async with Redis.from_url(lab.cluster.redis.url) as client:
        await client.flushall()
    return _all(lab, at)


async def failed_over(lab: Lab) -> Fault:
    """Kill the primary while its sentinels watch; a stream that begins meanwhile is accepted."""
    return await _fail_over(lab)


async def failed_over_without_a_sentinel(lab: Lab) -> Fault:
    """Kill the primary and the sentinel that all ask first; encoders move in the same moment."""
    assert lab.cluster.sentinels is not None
    await lab.cluster.sentinels.sentinels[0].kill()
    moving = sorted(lab.streams_at("origin-1"))
    fault = await _fail_over(lab, moving)
    return replace(fault, streams=frozenset(moving))


async def _fail_over(lab: Lab, moving: Sequence[str] = ()) -> Fault:
    sentinels = lab.cluster.sentinels
    assert sentinels is not None
    at = monotonic()
    await sentinels.kill_primary()
    for stream in moving:
        await lab.move(stream, "origin-2")
    await lab.publishers.ask("start", stream=NEW, to=0)
    lab.streams.append(NEW)
    await until(sentinels.promoted, FAILOVER_S)
    return replace(_all(lab, at), problems=await complete(lab))


async def complete(lab: Lab) -> tuple[str, ...]:
    """Wait, from when Redis is there, until it knows everything; say so if that takes too long."""
    try:
        await until_true(lab.table_complete, COMPLETE_S, "the table is not complete in time")
        await until_true(lab.nodes_known, COMPLETE_S, "the table does not know all nodes in time")
    except TimeoutError as error:
        return (str(error),)
    return ()


async def slow(lab: Lab) -> Fault:
    """Let every answer of Redis come 2 s later."""
    at = monotonic()
    for proxy in lab.cluster.redis_proxies.values():
        proxy.delay(1.0)
    await asyncio.sleep(10.0)
    for proxy in lab.cluster.redis_proxies.values():
        proxy.heal_ways()
    return _all(lab, at)


async def gone(lab: Lab) -> Fault:
    """Keep Redis away for longer than leases last; a stream that begins meanwhile is accepted."""
    fault = _all(lab, monotonic())
    await lab.cluster.redis.kill()
    await asyncio.sleep(2.0)
    await lab.publishers.ask("start", stream=NEW, to=0)
    await asyncio.sleep(13.0)
    if lab.news.last("keyframe", NEW) is None:
        raise RuntimeError("a new stream was not accepted while Redis was away")
    lab.streams.append(NEW)  # the table must know it in the end
    await lab.cluster.redis.start()
    return fault


async def frozen_and_origin_killed(lab: Lab) -> Fault:
    """Stop Redis, and kill an origin meanwhile: its encoders are accepted, and found later."""
    victim = lab.busiest_origin()
    streams = lab.streams_at(victim)
    lab.cluster.redis.pause()
    at = await lab.cluster.kill(victim)
    await asyncio.sleep(5.0)
    lab.cluster.redis.resume()
    return Fault(at=at, streams=streams)


def _all(lab: Lab, at: float) -> Fault:
    return Fault(at=at, streams=frozenset(lab.streams))


# Nobody may notice anything.
_UNNOTICED = Limits(new_session=False, gap_ms=1000)

# Whoever looks all its streams up at once does so over several connections, and keeps them.
_CONNECTIONS = 120

SCENARIOS = (
    Scenario(
        name="redis-restarted",
        title="Redis: kill -9 and restart, empty",
        act=restarted,
        limits=_UNNOTICED,
        observe_s=4.0,
    ),
    Scenario(
        name="redis-flushed", title="Redis: FLUSHALL", act=flushed, limits=_UNNOTICED, observe_s=4.0
    ),
    Scenario(
        name="redis-sentinel-failover",
        title="Redis: primary killed, failover by three sentinels, a new stream meanwhile",
        act=failed_over,
        limits=Limits(new_session=False, gap_ms=1000, descriptors=_CONNECTIONS),
        sentinels=True,
    ),
    Scenario(
        name="redis-sentinel-failover-and-encoders-move",
        title="The same with a sentinel dead, encoders go to another origin meanwhile",
        act=failed_over_without_a_sentinel,
        limits=Limits(gap_ms=2000, descriptors=_CONNECTIONS),
        sentinels=True,
    ),
    Scenario(name="redis-slow", title="Redis: 2 s slow for 10 s", act=slow, limits=_UNNOTICED),
    Scenario(
        name="redis-gone",
        title="Redis: gone for 15 s, a new stream meanwhile",
        act=gone,
        limits=_UNNOTICED,
    ),
    Scenario(
        name="redis-frozen-and-origin-killed",
        title="Redis frozen for 5 s (SIGSTOP), an origin node killed meanwhile",
        act=frozen_and_origin_killed,
        limits=Limits(gap_ms=5000 + 2500),
    ),
)
