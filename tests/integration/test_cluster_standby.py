"""The policy standby on two origins, an edge and a real Redis: viewers stay, time goes on."""

import asyncio
import itertools
from contextlib import AsyncExitStack
from time import monotonic

import pytest
from prometheus_client import Gauge

from common.cluster.redis_directory import RedisDirectory
from common.config.model import RedisSettings
from common.local.redis_server import RedisServer
from common.media.packet import Role
from common.metrics import STANDBY_PUBLISHERS
from common.net import meters
from common.rtmp.events import Refused
from origin.standby import MAX_STANDBYS
from tests.support.nodes import (
    Nodes,
    assert_plays_on,
    kill,
    names,
    publishing,
    route_node,
    running_nodes,
    until_routed_to,
)
from tests.support.publisher import open_publisher
from tests.support.redis import redis_settings_for
from tests.support.spine import STREAM, InProcess, frame_name
from tests.support.wait import until
from tests.support.watcher import Watcher, watching

pytestmark = pytest.mark.integration

STANDBY: dict[str, object] = {"policy": "standby"}
SOON_S = 3.0
"""Far from the end of a lease, and enough for a busy machine."""

LONG_LEASE: dict[str, object] = {"ttl_s": 60.0, "renew_s": 20.0}
"""So long that what happens soon does not happen because a lease ran out."""


def waiting(origin: InProcess) -> int:
    load = origin.app.status().streams.get(STREAM)
    return load.standbys if load is not None else 0


async def until_standing_by(origin: InProcess, count: int = 1) -> None:
    await until(lambda: waiting(origin) == count)


def live_publishers(nodes: Nodes) -> int:
    return nodes.a.app.status().publishers + nodes.b.app.status().publishers


async def promotion_s(nodes: Nodes, node: str = "origin-b") -> float:
    """Return how long it takes from now until the stream is ``node``'s."""
    began = monotonic()
    await until_routed_to(nodes, node)
    return monotonic() - began


def assert_goes_on_at_a_keyframe(watcher: Watcher, name: str) -> None:
    assert_plays_on(watcher)
    first = next(tag for tag in watcher.coded if frame_name(tag.payload).startswith(f"{name}-"))
    assert watcher.roles[watcher.tags.index(first)] is Role.KEYFRAME


async def test_standby_of_another_origin_goes_on_when_the_publisher_ends(
    redis_settings: RedisSettings,
) -> None:
    async with (
        running_nodes(redis_settings, publish=STANDBY, lease=LONG_LEASE) as nodes,
        publishing(nodes.a, "a") as first,
        watching(nodes.edge.url()) as watcher,
    ):
        await watcher.until_more(20)
        async with publishing(nodes.b, "b") as second:
            await until_standing_by(nodes.b)
            await watcher.until_more(20)
            assert await route_node(nodes) == "origin-a"
            await first.stop()
            assert await promotion_s(nodes) < SOON_S
            await watcher.until(lambda: names(watcher) == ["a", "b"])
            await watcher.until_more(20)
            assert_goes_on_at_a_keyframe(watcher, "b")
            assert not second.publisher.closed.done()
            assert nodes.b.app.status().publishers == 1


async def test_standby_of_the_same_origin_goes_on_over_the_same_relay(
    redis_settings: RedisSettings,
) -> None:
    async with (
        running_nodes(redis_settings, publish=STANDBY, lease=LONG_LEASE) as nodes,
        publishing(nodes.a, "a") as first,
        watching(nodes.edge.url()) as watcher,
    ):
        await watcher.until_more(20)
        async with publishing(nodes.a, "b"):
            await until_standing_by(nodes.a)
            relays = [
                each for each in nodes.a.app._services.registry.connections if each.kind == "relay"
            ]
            await first.stop()
            await watcher.until(lambda: names(watcher) == ["a", "b"])
            await watcher.until_more(20)
            assert_goes_on_at_a_keyframe(watcher, "b")
            times = [tag.timestamp for tag in watcher.coded]
            assert all(next_ - time <= 40 for time, next_ in itertools.pairwise(times))
            assert set(relays) <= set(nodes.a.app._services.registry.connections)


async def test_standby_of_another_origin_goes_on_when_the_holder_drains(
    redis_settings: RedisSettings,
) -> None:
    drain: dict[str, object] = {"publishers_after_s": 0.1, "asked_s": 0.1}
    async with (
        running_nodes(redis_settings, publish=STANDBY, lease=LONG_LEASE, drain=drain) as nodes,
        publishing(nodes.a, "a"),
        watching(nodes.edge.url()) as watcher,
        publishing(nodes.b, "b") as second,
    ):
        await until_standing_by(nodes.b)
        await watcher.until_more(20)
        draining = asyncio.ensure_future(nodes.a.app.drain(20.0))
        await watcher.until(lambda: names(watcher) == ["a", "b"])
        await watcher.until_more(20)
        await draining
        assert_goes_on_at_a_keyframe(watcher, "b")
        assert not second.publisher.closed.done()


async def test_origin_that_drains_lets_its_standby_go_and_promotes_it_nowhere(
    redis_settings: RedisSettings,
) -> None:
    drain: dict[str, object] = {"publishers_after_s": 2, "asked_s": 2}
    async with (
        running_nodes(redis_settings, publish=STANDBY, lease=LONG_LEASE, drain=drain) as nodes,
        publishing(nodes.a, "a") as first,
        watching(nodes.edge.url()) as watcher,
    ):
        second = await open_publisher(nodes.a.url(), {"capsEx": 0.0})
        await until_standing_by(nodes.a)
        await watcher.until_more(20)
        draining = asyncio.ensure_future(nodes.a.app.drain(20.0))
        await second.closed
        second.close()
        assert not first.publisher.closed.done()
        async with publishing(nodes.b, "c"):  # as the standby does that comes back
            await until_standing_by(nodes.b)
            await draining
            await watcher.until(lambda: names(watcher) == ["a", "c"])
            await watcher.until_more(20)
            assert_goes_on_at_a_keyframe(watcher, "c")


async def test_standby_goes_on_when_the_holder_is_killed_long_before_its_lease_ends(
    redis_settings: RedisSettings,
) -> None:
    async with (
        running_nodes(redis_settings, publish=STANDBY, lease=LONG_LEASE) as nodes,
        publishing(nodes.a, "a"),
        watching(nodes.edge.url()) as watcher,
    ):
        await watcher.until_more(20)
        async with publishing(nodes.b, "b"):
            await until_standing_by(nodes.b)
            await kill(nodes.a)
            assert await promotion_s(nodes) < SOON_S
            await watcher.until(lambda: names(watcher) == ["a", "b"])
            await watcher.until_more(20)
            assert_goes_on_at_a_keyframe(watcher, "b")


async def test_holder_that_a_viewer_s_edge_cannot_reach_but_others_can_keeps_its_stream(
    redis_settings: RedisSettings,
) -> None:
    async with (
        running_nodes(redis_settings, publish=STANDBY, lease=LONG_LEASE) as nodes,
        publishing(nodes.a, "a") as first,
        publishing(nodes.b, "b"),
    ):
        await until_standing_by(nodes.b)
        route = await nodes.table.lookup(STREAM)
        assert route is not None
        probes = nodes.a.app._services.registry.begun
        await nodes.table.suspect(STREAM, route.epoch)
        await until(lambda: nodes.a.app._services.registry.begun > probes)
        assert await nodes.table.lookup(STREAM) == route
        assert not first.publisher.closed.done()


async def test_publishers_come_and_go_and_exactly_one_is_live(
    redis_settings: RedisSettings,
) -> None:
    async with (
        running_nodes(redis_settings, publish=STANDBY, edge={"grace_s": 10}) as nodes,
        publishing(nodes.a, "0") as first,
        watching(nodes.edge.url()) as watcher,
        AsyncExitStack() as stack,
    ):
        await watcher.until_more(20)
        former, expected = first, ["0"]
        for number in range(1, 5):
            origin = nodes.b if number % 2 else nodes.a
            encoder = await stack.enter_async_context(publishing(origin, str(number)))
            await until_standing_by(origin)
            await former.stop()
            expected.append(str(number))
            await watcher.until(lambda expected=expected: names(watcher) == expected)
            assert live_publishers(nodes) == 1
            former = encoder
        assert_plays_on(watcher)


async def test_one_standby_too_many_is_refused(redis_settings: RedisSettings) -> None:
    async with (
        running_nodes(redis_settings, publish=STANDBY) as nodes,
        publishing(nodes.a, "a"),
    ):
        waiting = [await open_publisher(nodes.b.url()) for _ in range(MAX_STANDBYS)]
        assert all(each.started.result() for each in waiting)
        await until_standing_by(nodes.b, MAX_STANDBYS)
        refused = await open_publisher(nodes.b.url())
        assert not refused.started.result()
        assert any(isinstance(event, Refused) for event in refused.events)
        for each in waiting:
            each.close()
        await until(lambda: STREAM not in nodes.b.app.status().streams)


async def test_standby_is_served_to_nobody_and_counted_as_what_it_is(
    redis_settings: RedisSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meters, "PERIOD_S", 0.01)
    async with (
        running_nodes(redis_settings, publish=STANDBY) as nodes,
        publishing(nodes.a, "a"),
        publishing(nodes.b, "b"),
    ):
        await until_standing_by(nodes.b)
        async with watching(nodes.b.url()) as watcher:
            await watcher.until_closed()
            assert not watcher.coded
        assert nodes.b.app.status().publishers == 0


def gauge(metric: Gauge) -> float:
    return float(metric.collect()[0].samples[0].value)


async def test_gauge_counts_standbys(redis_settings: RedisSettings) -> None:
    async with (
        running_nodes(redis_settings, publish=STANDBY) as nodes,
        publishing(nodes.b, "b"),
        publishing(nodes.b, "c"),
    ):
        await until_standing_by(nodes.b)
        nodes.b.app._count_standbys()
        assert gauge(STANDBY_PUBLISHERS) == 1


async def test_restart_of_an_empty_redis_leaves_the_publisher_where_it_is() -> None:
    async with RedisServer() as server:
        redis = redis_settings_for(server.url, timeout_s=0.3, connect_timeout_s=0.3)
        async with (
            running_nodes(redis, publish=STANDBY) as nodes,
            publishing(nodes.a, "a") as first,
            publishing(nodes.b, "b") as second,
            watching(nodes.edge.url()) as watcher,
        ):
            await until_standing_by(nodes.b)
            await watcher.until_more(10)
            for _ in range(3):
                await server.kill()
                await until(lambda: not nodes.a.app.status().directory_ok)
                await watcher.until_more(10)
                await server.start()
                await until_routed_to(nodes, "origin-a")
                await watcher.until_more(10)
            await until_standing_by(nodes.b)
            assert names(watcher) == ["a"]
            assert not first.publisher.closed.done()
            assert not second.publisher.closed.done()
            # And the end of the first one is known, though the table was away when it came.
            await server.kill()
            await first.stop()
            await until(lambda: nodes.a.app.status().publishers == 0)
            await server.start()
            await until_routed_to(nodes, "origin-b")


async def test_standbys_of_many_workers_promote_one(redis_settings: RedisSettings) -> None:
    async with running_nodes(redis_settings, publish=STANDBY, lease=LONG_LEASE) as nodes:
        async with publishing(nodes.a, "a") as first:
            opened = await asyncio.gather(
                *[open_publisher(origin.url()) for origin in (nodes.a, nodes.b) for _ in range(3)]
            )
            await until_standing_by(nodes.a, 3)
            await until_standing_by(nodes.b, 3)
            await first.stop()
            await until(lambda: waiting(nodes.a) + waiting(nodes.b) == 5)
            await until(lambda: live_publishers(nodes) == 1)
            for each in opened:
                assert not each.closed.done()
        assert isinstance(nodes.table, RedisDirectory)
        assert len(await nodes.table.routes()) == 1
        for each in opened:
            each.close()
        await until_routed_to(nodes, None)
