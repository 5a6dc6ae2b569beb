"""A replica takes over: at another address in a cluster, or behind the same name."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from redis.cluster import key_slot

from common.cluster.keys import Keys
from common.cluster.records import ClusterEvent, EventKind, Renewal, Route
from common.cluster.redis_directory import RedisDirectory
from common.config.model import LeaseSettings, PublisherPolicy, RedisSettings
from common.errors import DirectoryUnavailable
from common.local.redis_server import RedisServer
from tests.support.cluster import make_claim
from tests.support.redis import cluster_node, join, join_replica, promote, redis_settings_for
from tests.support.wait import until

pytestmark = pytest.mark.integration

TAKEOVER = PublisherPolicy.TAKEOVER


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
