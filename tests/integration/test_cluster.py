"""Two origins and an edge on a real Redis: streams that move, and a table that goes away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from redis.asyncio import Redis

from common.config.model import RedisSettings
from common.local.redis_server import RedisServer
from common.media.packet import Role
from common.rtmp.events import PlayStarted, Refused
from tests.support.nodes import (
    assert_plays_on,
    names,
    publishing,
    route_node,
    running_nodes,
    until_routed_to,
)
from tests.support.publisher import open_publisher
from tests.support.redis import redis_settings_for
from tests.support.spine import STREAM, frame_name
from tests.support.wait import until
from tests.support.watcher import watching

pytestmark = pytest.mark.integration


@pytest.fixture
async def redis() -> AsyncIterator[RedisServer]:
    async with RedisServer() as server:
        yield server


def quick_redis(url: str) -> RedisSettings:
    return redis_settings_for(url, timeout_s=0.3, connect_timeout_s=0.3)


async def test_viewer_goes_on_when_its_publisher_moves_to_another_origin(
    redis_settings: RedisSettings,
) -> None:
    async with (
        running_nodes(redis_settings) as nodes,
        publishing(nodes.a, "a") as former,
        watching(nodes.edge.url()) as watcher,
    ):
        await watcher.until_more(20)
        async with publishing(nodes.b, "b"):
            assert (await former.publisher.closed).reason == "refused"
            await watcher.until(lambda: names(watcher) == ["a", "b"])
            await watcher.until_more(20)
            assert_plays_on(watcher)
            roles = watcher.roles
            first_of_b = next(
                at
                for at, tag in enumerate(watcher.tags)
                if frame_name(tag.payload).startswith("b-")
            )
            assert roles[first_of_b] is Role.KEYFRAME
            assert await route_node(nodes) == "origin-b"


async def test_viewer_survives_the_death_of_an_origin(redis_settings: RedisSettings) -> None:
    async with (
        running_nodes(redis_settings, edge={"grace_s": 10}) as nodes,
        publishing(nodes.a, "a"),
        watching(nodes.edge.url()) as watcher,
    ):
        await watcher.until_more(20)
        await nodes.a.app.stop()
        async with publishing(nodes.b, "b"):
            await watcher.until(lambda: names(watcher) == ["a", "b"])
            await watcher.until_more(20)
            assert_plays_on(watcher)


async def test_reject_policy_holds_across_origins(redis_settings: RedisSettings) -> None:
    async with running_nodes(redis_settings, publish={"policy": "reject"}) as nodes:
        async with publishing(nodes.a, "a") as first:
            second = await open_publisher(nodes.b.url())
            assert not second.started.result()
            assert any(isinstance(event, Refused) for event in second.events)
            assert not first.publisher.closed.done()
        await until_routed_to(nodes, None)
        async with publishing(nodes.b, "b"):
            assert await route_node(nodes) == "origin-b"


async def test_same_encoder_that_comes_back_at_once_is_not_refused(
    redis_settings: RedisSettings,
) -> None:
    async with running_nodes(redis_settings, publish={"policy": "reject"}) as nodes:
        for _ in range(10):
            async with publishing(nodes.a, "a"):
                pass
            await until(lambda: nodes.a.app.status().publishers == 0)


async def test_publisher_that_is_gone_before_it_is_accepted_leaves_no_route(
    redis_settings: RedisSettings,
) -> None:
    async with running_nodes(redis_settings) as nodes:
        opening = [asyncio.ensure_future(open_publisher(nodes.a.url())) for _ in range(20)]
        for _ in range(30):
            await asyncio.sleep(0)
            for connection in list(nodes.a.app._services.registry.connections):
                connection.abort("gone")
        for each in opening:
            with suppress(Exception):
                (await each).close()
        await until_routed_to(nodes, None)
        assert nodes.a.app.status().publishers == 0


async def test_kick_ends_publisher_and_route(redis_settings: RedisSettings) -> None:
    async with running_nodes(redis_settings) as nodes, publishing(nodes.a, "a") as encoder:
        await nodes.table.kick(STREAM)
        assert (await encoder.publisher.closed).reason == "refused"
        await until_routed_to(nodes, None)


async def test_flushed_table_is_refilled(redis: RedisServer) -> None:
    async with running_nodes(quick_redis(redis.url)) as nodes, publishing(nodes.a, "a"):
        before = await nodes.table.lookup(STREAM)
        async with Redis.from_url(redis.url) as client:
            await client.flushall()
        await until_routed_to(nodes, "origin-a")
        after = await nodes.table.lookup(STREAM)
        assert before is not None
        assert after is not None
        assert after.epoch == before.epoch


async def test_nothing_stops_when_redis_is_killed(redis: RedisServer) -> None:
    async with (
        running_nodes(quick_redis(redis.url)) as nodes,
        publishing(nodes.a, "a") as encoder,
        watching(nodes.edge.url()) as watcher,
    ):
        await watcher.until_more(20)
        await redis.kill()
        await until(lambda: not nodes.a.app.status().directory_ok)
        await watcher.until_more(20)
        async with watching(nodes.edge.url()) as late:  # a stream that the edge has
            await late.until_more(20)
        # One that it knows, and does not have any more.
        for connection in list(nodes.a.app._services.registry.connections):
            if connection.kind == "relay":
                connection.abort("cut")
        await watcher.until_more(20)
        # And one that comes now.
        async with publishing(nodes.b, "b", "live/new") as new:
            await redis.start()
            await until(lambda: nodes.a.app.status().directory_ok)

            async def are_registered() -> bool:
                holders = {route.claim.node for route in await nodes.table.routes()}
                return holders == {"origin-a", "origin-b"}

            await until(are_registered)
            async with watching(nodes.edge.url("live/new")) as viewer:
                await viewer.until_more(20)
            assert not new.publisher.closed.done()
        assert_plays_on(watcher)
        assert not encoder.publisher.closed.done()


async def test_nodes_start_and_publish_while_redis_is_not_there(redis: RedisServer) -> None:
    await redis.kill()
    async with (
        running_nodes(quick_redis(redis.url), edge={"hold_s": 20}) as nodes,
        publishing(nodes.a, "a"),
        watching(nodes.edge.url()) as watcher,
    ):
        assert not nodes.a.app.status().directory_ok
        await until(lambda: not nodes.edge.app.status().directory_ok)
        assert not any(isinstance(each, PlayStarted) for each in watcher.player.events)
        await redis.start()
        await watcher.until_more(20)
        assert await route_node(nodes) == "origin-a"
        await until(lambda: nodes.edge.app.status().directory_ok)


async def test_conflict_while_redis_was_away_leaves_one_publisher(redis: RedisServer) -> None:
    async with running_nodes(quick_redis(redis.url)) as nodes:
        await redis.kill()
        async with publishing(nodes.a, "a") as one, publishing(nodes.b, "b") as two:
            await redis.start()
            closed = one.publisher.closed, two.publisher.closed
            await until(lambda: sum(each.done() for each in closed) == 1)
            winner = "origin-b" if one.publisher.closed.done() else "origin-a"
            await until_routed_to(nodes, winner)
            async with watching(nodes.edge.url()) as watcher:
                await watcher.until_more(20)
                assert names(watcher) == [winner[-1]]
            assert sum(each.done() for each in closed) == 1
