"""A failover under three sentinels: nobody has to do anything, and every stream has one owner."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from common.cluster.records import ClusterEvent, EventKind, Renewal, Route
from common.cluster.redis_directory import RedisDirectory
from common.config.model import LeaseSettings, PublisherPolicy, RedisSettings
from common.errors import DirectoryUnavailable
from common.ids import StreamKey
from common.local.redis_server import RedisServer
from tests.support.cluster import STREAM, make_claim, make_load, make_node
from tests.support.redis import redis_settings_for
from tests.support.sentinels import SentinelSetup
from tests.support.wait import until

pytestmark = pytest.mark.integration

TAKEOVER = PublisherPolicy.TAKEOVER
LEASE = LeaseSettings()
FAILOVER_S = 20.0
"""It takes about three seconds; the machine may be busy."""


@pytest.fixture
async def redis() -> AsyncIterator[SentinelSetup]:
    async with SentinelSetup() as setup:
        yield setup


@asynccontextmanager
async def opened(settings: RedisSettings) -> AsyncIterator[RedisDirectory]:
    directory = RedisDirectory(settings, LEASE)
    try:
        yield directory
    finally:
        await directory.close()


class Listener:
    """Keeps what a directory announces."""

    def __init__(self, directory: RedisDirectory) -> None:
        self.heard: list[ClusterEvent] = []
        self._task = asyncio.ensure_future(self._listen(directory))

    async def _listen(self, directory: RedisDirectory) -> None:
        async for event in directory.events():
            self.heard.append(event)

    async def resynced(self, times: int) -> None:
        resync = ClusterEvent(kind=EventKind.RESYNC)
        await until(lambda: self.heard.count(resync) >= times, FAILOVER_S)

    def claimed(self, route: Route) -> bool:
        return any(event.kind is EventKind.CLAIMED and event.route == route for event in self.heard)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@asynccontextmanager
async def listening(directory: RedisDirectory) -> AsyncIterator[Listener]:
    listener = Listener(directory)
    try:
        await listener.resynced(1)
        yield listener
    finally:
        await listener.close()


async def renewed(directory: RedisDirectory, routes: list[Route]) -> list[Renewal]:
    """Renew as an origin does, again and again until the table answers."""
    async with asyncio.timeout(FAILOVER_S):
        while True:
            try:
                return await directory.renew(routes)
            except DirectoryUnavailable:
                await asyncio.sleep(0.05)


async def test_leases_announcements_and_nodes_go_on_at_the_new_primary(
    redis: SentinelSetup,
) -> None:
    settings = redis.settings()
    async with (
        opened(settings) as origin,
        opened(settings) as edge,
        listening(edge) as listener,
    ):
        claims = [make_claim(f"live/{n}") for n in range(20)]
        routes = [await origin.claim(claim, TAKEOVER) for claim in claims]
        await origin.put_node(make_node(), make_load())
        await until(redis.replicating)
        await redis.kill_primary()
        assert await renewed(origin, routes) == [Renewal.KEPT] * len(routes)
        assert await redis.promoted()
        assert {route.stream for route in await edge.routes()} == {c.stream for c in claims}
        assert await edge.nodes() == [make_node()]
        # No longer than a renewal period: edges must hear of the next move.
        async with asyncio.timeout(LEASE.renew_s):
            await listener.resynced(2)
        new = await origin.claim(make_claim("live/new"), TAKEOVER)
        await until(lambda: listener.claimed(new))


async def test_claim_that_the_replica_never_got_is_put_back_and_wins(
    redis: SentinelSetup,
) -> None:
    settings = redis.settings()
    async with opened(settings) as a, opened(settings) as b, listening(a) as listener:
        former = await a.claim(make_claim(owner="a/0/aa"), TAKEOVER)
        lonely = await a.claim(make_claim("live/lonely", owner="a/0/aa"), TAKEOVER)
        await until(redis.replicating)
        await redis.lose_writes()
        newer = await b.claim(make_claim(owner="b/0/bb"), TAKEOVER)
        other = await b.claim(make_claim("live/other", owner="b/0/bb"), TAKEOVER)
        await redis.kill_primary()
        # The table says that the former has it still: a renewal of that is not refused …
        assert await renewed(a, [former, lonely]) == [Renewal.KEPT] * 2
        assert await a.lookup(STREAM) == former
        await listener.resynced(2)
        # … but the newer epoch wins as soon as its owner renews, which all are told.
        assert await renewed(b, [newer, other]) == [Renewal.RESTORED] * 2
        assert await a.renew([former, lonely]) == [Renewal.LOST, Renewal.KEPT]
        assert await b.renew([newer, other]) == [Renewal.KEPT] * 2
        await until(lambda: listener.claimed(newer) and listener.claimed(other))
        routes = {route.stream: route for route in await a.routes()}
        assert routes == {each.stream: each for each in (newer, other, lonely)}
        # And epochs go on growing from the highest that anybody has.
        again = await a.claim(make_claim(owner="a/0/cc"), TAKEOVER)
        assert again.epoch > newer.epoch
        assert await b.renew([newer]) == [Renewal.LOST]


async def test_release_that_the_replica_never_got_is_over_with_the_lease(
    redis: SentinelSetup,
) -> None:
    settings = redis.settings()
    lease = LeaseSettings(ttl_s=2.0, renew_s=0.5)
    directory = RedisDirectory(settings, lease)
    route = await directory.claim(make_claim(), TAKEOVER)
    await until(redis.replicating)
    await redis.lose_writes()
    assert await directory.release(route)
    await redis.kill_primary()
    await until(redis.promoted, FAILOVER_S)

    async def gone() -> bool:
        return await directory.lookup(STREAM) is None

    await until(gone)
    await directory.close()


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_failover_with_the_first_sentinel_dead_as_well(
    redis: SentinelSetup, how: str
) -> None:
    async with opened(redis.settings()) as origin, listening(origin) as listener:
        route = await origin.claim(make_claim(), TAKEOVER)
        await until(redis.replicating)
        # The first in the settings is the one that all ask first.
        if how == "killed":
            await redis.sentinels[0].kill()
        else:
            redis.sentinels[0].pause()
        await redis.kill_primary()
        assert await renewed(origin, [route]) == [Renewal.KEPT]
        await listener.resynced(2)


async def test_frozen_primary_that_comes_back_is_left_for_the_new_one(
    redis: SentinelSetup,
) -> None:
    settings = redis.settings()
    async with opened(settings) as a, opened(settings) as b, listening(b) as listener:
        # Several, so that connections wait in the pools.
        routes = [await a.claim(make_claim(f"live/{n}", owner="a/0/aa"), TAKEOVER) for n in "xyz"]
        await asyncio.gather(*(a.lookup(STREAM) for _ in range(8)))
        await until(redis.replicating)
        redis.primary.pause()
        assert await renewed(a, routes) == [Renewal.KEPT] * 3
        await listener.resynced(2)
        moved = await b.claim(make_claim("live/x", owner="b/0/bb"), TAKEOVER)
        redis.primary.resume()
        # It takes itself for the primary until its sentinels say otherwise. Every call of a crowd,
        # over whatever connection, speaks to the new one all the same.
        found = await asyncio.gather(*(a.lookup(StreamKey("live/x")) for _ in range(16)))
        assert set(found) == {moved}
        assert await a.renew(routes) == [Renewal.LOST, Renewal.KEPT, Renewal.KEPT]
        await until(redis.demoted, FAILOVER_S)
        assert await b.claim(make_claim("live/x", owner="b/0/cc"), TAKEOVER)


async def test_all_sentinels_gone_hurts_nobody_who_is_connected(redis: SentinelSetup) -> None:
    async with opened(redis.settings()) as origin:
        route = await origin.claim(make_claim(), TAKEOVER)
        for sentinel in redis.sentinels:
            await sentinel.kill()
        assert await origin.renew([route]) == [Renewal.KEPT]
        assert await origin.lookup(STREAM) == route


async def test_primary_that_misses_its_replicas_counts_as_away() -> None:
    # What `min-replicas-to-write` makes of one that was cut off with some of the nodes.
    async with (
        RedisServer(options=["--min-replicas-to-write", "1"]) as server,
        opened(redis_settings_for(server.url)) as directory,
    ):
        with pytest.raises(DirectoryUnavailable, match="NOREPLICAS"):
            await directory.claim(make_claim(), TAKEOVER)
        with pytest.raises(DirectoryUnavailable, match="NOREPLICAS"):
            await directory.renew([Route(claim=make_claim(), epoch=1)])
        with pytest.raises(DirectoryUnavailable, match="NOREPLICAS"):
            await directory.put_node(make_node(), make_load())
