"""A replica takes over: at another address in a cluster, or behind the same name."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from redis.asyncio import Redis
from redis.cluster import key_slot

from common.cluster.keys import Keys
from common.cluster.records import ClusterEvent, EventKind, Renewal, Route
from common.cluster.redis_directory import RedisDirectory
from common.config.model import LeaseSettings, PublisherPolicy, RedisSettings
from common.errors import DirectoryUnavailable
from common.local.redis_server import HOST, RedisServer
from tests.support.chaos_proxy import ChaosProxy
from tests.support.cluster import make_claim
from tests.support.redis import cluster_node, join, join_replica, promote, redis_settings_for
from tests.support.wait import until

pytestmark = pytest.mark.integration

TAKEOVER = PublisherPolicy.TAKEOVER

SYNC_AT_ONCE = ["--repl-diskless-sync-delay", "0"]


async def renewed(directory: RedisDirectory, routes: list[Route]) -> bool:
    try:
        return set(await directory.renew(routes)) <= {Renewal.KEPT, Renewal.RESTORED}
    except DirectoryUnavailable:
        return False


async def found(directory: RedisDirectory, route: Route) -> bool:
    try:
        return await directory.lookup(route.stream) == route
    except DirectoryUnavailable:
        return False


async def heard(events: AsyncIterator[ClusterEvent], kind: EventKind) -> None:
    async with asyncio.timeout(10):
        while (await anext(events)).kind is not kind:
            pass


@pytest.fixture
async def shards() -> AsyncIterator[list[RedisServer]]:
    """Two primaries, and a replica of the second."""
    servers = [cluster_node(), cluster_node(), cluster_node()]
    try:
        await join(servers[:2])
        await join_replica(servers[2], servers[1])
        yield servers
    finally:
        for server in servers:
            await server.stop()


def settings_for(server: RedisServer, *, channel_on_second: bool) -> RedisSettings:
    while True:
        settings = redis_settings_for(server.url, mode="cluster")
        slot = key_slot(Keys(settings.key_prefix).events.encode())
        if (slot > 8191) is channel_on_second:
            return settings


@pytest.mark.parametrize("channel_on_second", [True, False], ids=["dies", "lives"])
async def test_a_replica_at_another_address_is_found(
    shards: list[RedisServer], channel_on_second: bool
) -> None:
    settings = settings_for(shards[0], channel_on_second=channel_on_second)
    # One that renews, and one that only looks up: each finds the replica by what it does itself.
    origin, edge = [RedisDirectory(settings, LeaseSettings()) for _ in range(2)]
    async with aclosing(edge.events()) as events:
        await heard(events, EventKind.RESYNC)
        # Enough for both shards to hold some.
        claims = [make_claim(f"live/{n}") for n in range(10)]
        routes = [await origin.claim(one, TAKEOVER) for one in claims]
        for route in routes:
            assert await edge.lookup(route.stream) == route
        await shards[1].kill()
        assert not await renewed(origin, routes)
        await promote(shards[2])
        await until(lambda: renewed(origin, routes))
        for route in routes:
            await until(lambda route=route: found(edge, route))
        if channel_on_second:
            await heard(events, EventKind.RESYNC)
        await origin.kick(routes[0].stream)
        await heard(events, EventKind.KICK)
    await origin.close()
    await edge.close()


async def follow(replica: RedisServer, primary: RedisServer) -> None:
    async with Redis.from_url(replica.url) as raw:
        await raw.replicaof(HOST, primary.port)

        async def follows() -> bool:
            return bool((await raw.info("replication"))["master_link_status"] == "up")

        await until(follows)


async def become_primary(replica: RedisServer) -> None:
    async with Redis.from_url(replica.url) as raw:
        await raw.replicaof("NO", "ONE")


async def is_heard_by(server: RedisServer, channel: str, listeners: int) -> bool:
    async with Redis.from_url(server.url) as raw:
        (_, number), *_ = await raw.pubsub_numsub(channel)
        return int(number) == listeners


async def test_a_primary_that_becomes_a_replica_and_closes_nothing_is_left() -> None:
    async with (
        RedisServer(options=SYNC_AT_ONCE) as old,
        RedisServer(options=SYNC_AT_ONCE) as new,
        ChaosProxy((HOST, old.port)) as name,
    ):
        await follow(new, old)
        settings = redis_settings_for(f"redis://{HOST}:{name.port}/0", timeout_s=1.0)
        channel = Keys(settings.key_prefix).events
        directory = RedisDirectory(settings, LeaseSettings())
        async with aclosing(directory.events()) as events:
            await heard(events, EventKind.RESYNC)
            route = await directory.claim(make_claim(), TAKEOVER)
            # Several, so that connections wait in the pool.
            await asyncio.gather(*(directory.lookup(route.stream) for _ in range(8)))
            await become_primary(new)
            name.target = (HOST, new.port)
            await follow(old, new)
            with pytest.raises(DirectoryUnavailable, match="read only replica"):
                await directory.renew([route])
            await until(lambda: renewed(directory, [route]))
            # Over whatever connection: none is left that leads to the old one.
            answers = await asyncio.gather(*(directory.renew([route]) for _ in range(8)))
            assert answers == [[Renewal.KEPT]] * 8
            await heard(events, EventKind.AWAY)
            await heard(events, EventKind.RESYNC)
            await until(lambda: is_heard_by(old, channel, 0))
            await until(lambda: is_heard_by(new, channel, 1))
        await directory.close()
