"""Nodes that leave: real processes, real signals, encoders and viewers that see it."""

import itertools
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from time import monotonic

import pytest

from common.cluster.records import NodeRole, NodeState
from common.cluster.redis_directory import RedisDirectory
from common.config.model import LeaseSettings, RedisSettings
from common.ids import NodeId
from common.rtmp.events import ReconnectRequested
from common.supervisor.exit_codes import ExitCode
from tests.support.encoder import GOP, Encoder, encoding
from tests.support.real_node import RealNode, running_node
from tests.support.spine import frame_name
from tests.support.wait import until
from tests.support.watcher import Watcher, watching

pytestmark = pytest.mark.integration

ABLE, OTHER = "live/able", "live/other"
CANNOT = {"capsEx": 0.0}


class Cluster:
    """Starts nodes and clients that end with the test."""

    def __init__(self, redis: RedisSettings, stack: AsyncExitStack) -> None:
        self.table = RedisDirectory(redis, LeaseSettings())
        self.stack = stack
        self._url = redis.url.get_secret_value()
        self._prefix = redis.key_prefix

    async def node(self, role: NodeRole, name: str, *settings: str) -> RealNode:
        prefix = f"redis.key_prefix={self._prefix}"
        return await self.stack.enter_async_context(
            running_node(role, name, self._url, prefix, *settings)
        )

    async def encoder(self, *nodes: RealNode, stream: str, announces: bool = False) -> Encoder:
        servers = [node.info.rtmp for node in nodes]
        return await self.stack.enter_async_context(encoding(servers, stream, announces=announces))

    async def watchers(self, edge: RealNode, stream: str, count: int) -> list[Watcher]:
        opened = [
            await self.stack.enter_async_context(watching(edge.url(stream), CANNOT))
            for _ in range(count)
        ]
        for each in opened:
            await each.until_more(5)
        return opened

    async def state(self, node: RealNode) -> NodeState | None:
        """Return what the table says of a node."""
        records = {record.id: record.state for record in await self.table.nodes()}
        return records.get(NodeId(node.info.id))


@pytest.fixture
async def cluster(redis_settings: RedisSettings) -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        made = Cluster(redis_settings, stack)
        stack.push_async_callback(made.table.close)
        yield made


def assert_plays_on(watcher: Watcher) -> None:
    times = [tag.timestamp for tag in watcher.coded]
    assert all(before < after for before, after in itertools.pairwise(times))
    assert not watcher.was_told_the_end
    assert not watcher.player.closed.done()


async def is_draining(node: RealNode) -> bool:
    return await node.readiness() == (503, "not ready: draining\n")


async def test_an_origin_that_leaves_moves_its_publishers_and_no_viewer_notices(
    cluster: Cluster,
) -> None:
    stays = await cluster.node(NodeRole.ORIGIN, "stays")
    leaves = await cluster.node(
        NodeRole.ORIGIN,
        "leaves",
        "drain.publishers_after_s=1",
        f"drain.reconnect_url=rtmp://{stays.info.rtmp}",
    )
    edge = await cluster.node(NodeRole.EDGE, "edge")
    able = await cluster.encoder(leaves, stream=ABLE, announces=True)
    other = await cluster.encoder(leaves, stays, stream=OTHER)
    watchers = [
        each for stream in (ABLE, OTHER) for each in await cluster.watchers(edge, stream, 3)
    ]
    assert await cluster.state(leaves) is NodeState.SERVING

    began = monotonic()
    leaves.signal(signal.SIGTERM)
    await until(lambda: is_draining(leaves))
    assert await cluster.state(leaves) is NodeState.DRAINING
    # The one that can is asked at once; the other goes on for its second.
    await able.until_sessions(2)
    assert able.asked == [f"rtmp://{stays.info.rtmp}/live"]
    assert other.at == [leaves.info.rtmp]
    late = await cluster.watchers(edge, OTHER, 1)  # relays are still served
    await other.until_sessions(2)
    assert await leaves.ended() == ExitCode.OK
    assert 1 < monotonic() - began < 20  # the drain time is 30 s: it ended when all had gone
    assert await cluster.state(leaves) is None

    assert able.at == other.at == [leaves.info.rtmp, stays.info.rtmp]
    assert other.asked == []
    for each in watchers + late:
        await each.until_more(20)
        assert_plays_on(each)
    for each in watchers[3:] + late:
        last = [name for tag in each.coded if (name := frame_name(tag.payload)).startswith("1-")]
        assert int(last[-1].partition("-")[2]) % GOP == GOP - 1  # they have all of the last GOP


async def test_an_origin_without_publishers_leaves_at_once(cluster: Cluster) -> None:
    origin = await cluster.node(NodeRole.ORIGIN, "origin")
    edge = await cluster.node(NodeRole.EDGE, "edge")
    for node in (origin, edge):
        began = monotonic()
        node.signal(signal.SIGTERM)
        assert await node.ended() == ExitCode.OK
        assert monotonic() - began < 15


async def test_an_edge_that_leaves_asks_those_that_can_and_ends_when_all_have_gone(
    cluster: Cluster,
) -> None:
    origin = await cluster.node(NodeRole.ORIGIN, "origin")
    edge = await cluster.node(NodeRole.EDGE, "edge")
    await cluster.encoder(origin, stream=OTHER)
    able = await cluster.stack.enter_async_context(watching(edge.url(OTHER)))
    stays = (await cluster.watchers(edge, OTHER, 1))[0]
    edge.signal(signal.SIGTERM)
    await until(lambda: is_draining(edge))
    await able.until(lambda: any(isinstance(e, ReconnectRequested) for e in able.player.events))
    await stays.until_more(20)
    assert_plays_on(stays)
    began = monotonic()
    for each in (able, stays):
        each.player.close()
    assert await edge.ended() == ExitCode.OK
    assert monotonic() - began < 15
    assert await cluster.state(edge) is None


async def test_an_edge_closes_its_last_viewers_at_the_deadline_without_an_end_notice(
    cluster: Cluster,
) -> None:
    origin = await cluster.node(NodeRole.ORIGIN, "origin")
    edge = await cluster.node(
        NodeRole.EDGE, "edge", "supervisor.drain_s=2", "drain.viewers_last_s=0.2"
    )
    await cluster.encoder(origin, stream=OTHER)
    watchers = await cluster.watchers(edge, OTHER, 3)
    began = monotonic()
    edge.signal(signal.SIGTERM)
    for each in watchers:
        await each.until_closed()
        assert monotonic() - began >= 1.7
        assert not each.was_told_the_end
    assert await edge.ended() == ExitCode.OK
    assert monotonic() - began < 15


async def test_workers_of_a_leaving_edge_serve_each_other_to_the_end(cluster: Cluster) -> None:
    origin = await cluster.node(NodeRole.ORIGIN, "origin")
    edge = await cluster.node(NodeRole.EDGE, "edge", "node.workers=2", "edge.linger_s=60")
    await cluster.encoder(origin, stream=OTHER)
    watchers: list[Watcher] = []

    async def both_have_viewers() -> bool:
        return all(each["viewers"] for each in await edge.workers())

    while not await both_have_viewers():
        watchers += await cluster.watchers(edge, OTHER, 2)
        assert len(watchers) < 100
    edge.signal(signal.SIGTERM)
    await until(lambda: is_draining(edge))
    last = watchers.pop()
    for each in watchers:
        each.player.close()
    # Whichever worker has it: the one that pulls the stream stays for the other.
    await last.until_more(100)
    assert_plays_on(last)
    last.player.close()
    assert await edge.ended() == ExitCode.OK


async def test_a_second_signal_ends_a_drain_now(cluster: Cluster) -> None:
    origin = await cluster.node(NodeRole.ORIGIN, "origin", "drain.publishers_after_s=20")
    encoder = await cluster.encoder(origin, stream=OTHER)
    origin.signal(signal.SIGTERM)
    await until(lambda: is_draining(origin))
    assert not encoder.task.done()
    began = monotonic()
    origin.signal(signal.SIGTERM)
    assert await origin.ended() == ExitCode.OK
    assert monotonic() - began < 15
