"""SIGHUP: new workers take over from the old ones, and nobody is lost on the way."""

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from redis.asyncio import Redis

from common.cluster.records import NodeRole
from common.cluster.redis_directory import RedisDirectory
from common.config.model import LeaseSettings, RedisSettings
from common.ids import StreamKey
from common.local.redis_server import HOST, RedisServer, free_port
from common.supervisor.exit_codes import ExitCode
from tests.support.encoder import Encoder, encoding
from tests.support.processes import is_alive
from tests.support.real_node import RealNode, running_node
from tests.support.redis import redis_settings_for
from tests.support.spine import STREAM
from tests.support.wait import until
from tests.support.watcher import Watcher, watching

pytestmark = pytest.mark.integration

DONE = "reload is done, the former workers retire"


class Cluster:
    """An origin and an edge, whose settings files a test may change, and their clients."""

    origin: RealNode
    edge: RealNode

    def __init__(self, redis: RedisSettings, folder: Path, stack: AsyncExitStack) -> None:
        self.table = RedisDirectory(redis, LeaseSettings())
        self.stack = stack
        self.folder = folder
        self._url = redis.url.get_secret_value()
        self._prefix = redis.key_prefix

    def configure(self, role: NodeRole, text: str) -> Path:
        """Write what a node reads at its start and at a reload."""
        file = self.folder / f"{role.value}.yaml"
        file.write_text(text)
        return file

    async def start(self, role: NodeRole, *settings: str, prefixed: bool = True) -> RealNode:
        prefix = [f"redis.key_prefix={self._prefix}"] if prefixed else []
        file = self.folder / f"{role.value}.yaml"
        file.touch()
        node = running_node(role, role.value, self._url, *prefix, *settings, config=file)
        return await self.stack.enter_async_context(node)

    async def encoder(self, *nodes: RealNode) -> Encoder:
        servers = [node.info.rtmp for node in nodes]
        return await self.stack.enter_async_context(encoding(servers, STREAM))

    async def watchers(self, node: RealNode, count: int) -> list[Watcher]:
        opened = [await self.stack.enter_async_context(watching(node.url())) for _ in range(count)]
        for each in opened:
            await each.until_more(3)
        return opened


@pytest.fixture
async def cluster(redis_settings: RedisSettings, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        made = Cluster(redis_settings, tmp_path, stack)
        stack.push_async_callback(made.table.close)
        yield made


async def reload(node: RealNode, words: str = DONE) -> None:
    """Send SIGHUP and wait for what comes of it."""
    before = sum(words in line for line in node.log)
    node.signal(signal.SIGHUP)
    await until(lambda: sum(words in line for line in node.log) > before)


async def pids(node: RealNode, generation: int) -> list[int]:
    """Return the processes of one generation."""
    workers = await node.workers()
    return [int(str(each["pid"])) for each in workers if each["generation"] == generation]


async def until_generations(node: RealNode, *generations: int) -> None:
    async def are() -> bool:
        return {each["generation"] for each in await node.workers()} == set(generations)

    await until(are)


def assert_plays_on(watcher: Watcher) -> None:
    times = [tag.timestamp for tag in watcher.coded]
    assert all(before < after for before, after in itertools.pairwise(times))
    assert not watcher.was_told_the_end
    assert not watcher.player.closed.done()


@pytest.mark.parametrize("port_base", [False, True])
async def test_a_reload_under_load_loses_nobody(cluster: Cluster, port_base: bool) -> None:
    base = f"relay.port_base={free_port() if port_base else 0}"
    origin = await cluster.start(NodeRole.ORIGIN, base)
    edge = await cluster.start(NodeRole.EDGE, "node.workers=2")
    encoder = await cluster.encoder(origin)
    old = await cluster.watchers(edge, 6)
    for node in (origin, edge):
        await reload(node)
        await until_generations(node, 0, 1)
        assert await node.readiness() == (200, "ready\n")
    # The kernel gives them to former workers for as long as those listen.
    await until(lambda: sum("takes no new clients" in line for line in edge.log) == 2)
    new = await cluster.watchers(edge, 6)  # old ones stay where they are
    for each in old + new:
        await each.until_more(20)
        assert_plays_on(each)
    assert len(encoder.at) == 1
    assert all(map(is_alive, await pids(edge, 0)))

    former = await pids(edge, 0)
    for each in old:
        each.player.close()
    await until_generations(edge, 1)  # the former workers had nobody left
    assert not any(map(is_alive, former))
    for each in new:
        await each.until_more(20)
        assert_plays_on(each)


async def test_new_connections_get_the_new_settings(cluster: Cluster) -> None:
    cluster.configure(NodeRole.ORIGIN, "publish: {policy: takeover}\nnode: {zone: old}")
    origin = await cluster.start(NodeRole.ORIGIN)
    cluster.configure(NodeRole.ORIGIN, "publish: {policy: reject}\nnode: {zone: new}")
    await reload(origin)
    await until_generations(origin, 1)
    encoder = await cluster.encoder(origin)
    rival = Encoder([origin.info.rtmp], STREAM, announces=False)
    await until(lambda: origin.logged("publisher refused", "stream_taken"))
    rival.task.cancel()
    await asyncio.wait({rival.task})
    assert (len(encoder.at), rival.at) == (1, [])
    assert [(node.id, node.zone) for node in await cluster.table.nodes()] == [("origin", "new")]


async def test_bad_settings_are_refused_with_their_place_and_change_nothing(
    cluster: Cluster,
) -> None:
    file = cluster.configure(NodeRole.ORIGIN, "edge:\n  grace_s: 20\n")
    origin = await cluster.start(NodeRole.ORIGIN)
    encoder = await cluster.encoder(origin)
    before = await pids(origin, 0)
    cluster.configure(NodeRole.ORIGIN, "edge:\n  grace_s: -1\n  grease_s: 1\n")
    await reload(origin, "reload refused, the settings in force stay")
    await until(lambda: origin.logged("reload refused", f"{file}:3", "grease_s"))
    assert origin.logged("reload refused", f"{file}:2: edge.grace_s")
    assert await pids(origin, 0) == before
    cluster.configure(NodeRole.ORIGIN, "edge:\n  grace_s: 30\n")
    await reload(origin)
    assert len(encoder.at) == 1


async def test_new_workers_that_cannot_start_leave_the_old_ones_in_place(
    cluster: Cluster,
) -> None:
    origin = await cluster.start(NodeRole.ORIGIN)
    encoder = await cluster.encoder(origin)
    before = await pids(origin, 0)
    cluster.configure(NodeRole.ORIGIN, "rtmp: {backlog: 100}\nredis: {password_file: /nowhere}")
    await reload(origin, "reload failed, the former workers stay")
    await until_generations(origin, 0)
    assert await pids(origin, 0) == before
    cluster.configure(NodeRole.ORIGIN, "rtmp: {backlog: 100}")
    await reload(origin)
    assert len(encoder.at) == 1


async def test_a_worker_that_dies_during_a_reload(cluster: Cluster) -> None:
    origin = await cluster.start(NodeRole.ORIGIN)
    edge = await cluster.start(NodeRole.EDGE, "node.workers=2")
    await cluster.encoder(origin)
    first, second = await pids(edge, 0)
    edge.signal(signal.SIGHUP)
    await until(lambda: edge.logged("reload begins"))
    os.kill(first, signal.SIGKILL)  # of the old ones: replaced, or not needed any more
    await until(lambda: edge.logged(DONE))
    await until_generations(edge, 1)
    assert not is_alive(second)

    edge.signal(signal.SIGHUP)
    await until(lambda: edge.logged("reload begins", "generation=2"))

    async def new_ones() -> bool:
        return len(await pids(edge, 2)) == 2

    await until(new_ones)
    os.kill((await pids(edge, 2))[0], signal.SIGKILL)  # of the new ones: the reload fails
    await until(lambda: edge.logged("reload failed", "signal_9") or edge.logged(DONE, "=2"))
    (watcher,) = await cluster.watchers(edge, 1)
    assert_plays_on(watcher)


async def test_two_reloads_in_a_row(cluster: Cluster) -> None:
    origin = await cluster.start(NodeRole.ORIGIN)
    edge = await cluster.start(NodeRole.EDGE, "node.workers=2")
    await cluster.encoder(origin)
    watchers = await cluster.watchers(edge, 4)
    edge.signal(signal.SIGHUP)
    await until(lambda: edge.logged("reload begins", "generation=1"))
    edge.signal(signal.SIGHUP)
    await until(lambda: edge.logged(DONE, "generation=2"))
    await until_generations(edge, 0, 2)
    await reload(edge)
    await until_generations(edge, 0, 3)
    for each in watchers + await cluster.watchers(edge, 4):
        await each.until_more(20)
        assert_plays_on(each)
    for each in watchers:
        each.player.close()
    await until_generations(edge, 3)


async def test_a_signal_to_end_during_a_reload_ends_all(cluster: Cluster) -> None:
    origin = await cluster.start(NodeRole.ORIGIN)
    edge = await cluster.start(NodeRole.EDGE, "node.workers=2")
    await cluster.encoder(origin)
    (watcher,) = await cluster.watchers(edge, 1)
    everybody = await pids(edge, 0)
    edge.signal(signal.SIGHUP)
    await until(lambda: edge.logged("reload begins"))
    edge.signal(signal.SIGTERM)
    await watcher.until_more(20)  # those who watch have the time of a drain
    everybody += await pids(edge, 1)
    watcher.player.close()
    assert await edge.ended() == ExitCode.OK
    assert not any(map(is_alive, everybody))
    assert await cluster.table.nodes() != []
    assert "edge" not in {node.id for node in await cluster.table.nodes()}


async def test_publishers_of_retired_workers_move_on_when_their_time_is_over(
    cluster: Cluster,
) -> None:
    short = ("supervisor.retire_s=0.5", "supervisor.drain_s=20", "drain.publishers_after_s=0.1")
    origin = await cluster.start(NodeRole.ORIGIN, *short)
    edge = await cluster.start(NodeRole.EDGE)
    encoder = await cluster.encoder(origin)
    watchers = await cluster.watchers(edge, 2)
    await reload(origin)
    await encoder.until_sessions(2)  # at the new workers, on the same port
    await until_generations(origin, 1)
    route = await cluster.table.lookup(StreamKey(STREAM))
    assert route is not None
    assert route.claim.node == "origin"
    for each in watchers:
        await each.until_more(20)
        assert_plays_on(each)


async def test_a_node_follows_its_settings_to_another_routing_table(
    cluster: Cluster, redis_settings: RedisSettings
) -> None:
    other = redis_settings_for(redis_settings.url.get_secret_value())
    tables = [RedisDirectory(each, LeaseSettings()) for each in (redis_settings, other)]
    for table in tables:
        cluster.stack.push_async_callback(table.close)

    async def where() -> list[list[str]]:
        return [[node.id for node in await table.nodes()] for table in tables]

    async def is_in_the_first() -> bool:
        return await where() == [["origin"], []]

    async def is_in_the_second() -> bool:
        return await where() == [[], ["origin"]]

    text = "redis: {key_prefix: %s}"
    cluster.configure(NodeRole.ORIGIN, text % redis_settings.key_prefix)
    origin = await cluster.start(NodeRole.ORIGIN, prefixed=False)
    await until(is_in_the_first)
    cluster.configure(NodeRole.ORIGIN, text % other.key_prefix)
    await reload(origin)
    await until(is_in_the_second)
    origin.signal(signal.SIGTERM)
    assert await origin.ended() == ExitCode.OK
    assert await where() == [[], []]


async def test_a_node_reports_with_the_password_that_its_file_has_now(
    cluster: Cluster, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("old")
    async with RedisServer(password="old") as redis, Redis.from_url(redis.url) as raw:
        where = [f"redis.url=redis://{HOST}:{redis.port}/0", "redis.key_prefix=hw"]
        secret = f"redis.password_file={file}"
        node = await cluster.start(NodeRole.ORIGIN, *where, secret, prefixed=False)

        async def is_known() -> bool:
            return bool(await raw.exists("hw:node:{origin}"))

        await until(is_known)
        await raw.config_set("requirepass", "new")
        file.write_text("new")
        await reload(node)
        assert await is_known()
        await raw.client_kill_filter(_type="normal", skipme=True)
        await raw.delete("hw:node:{origin}")
        await until(is_known)


async def test_workers_of_all_generations_are_counted(cluster: Cluster) -> None:
    origin = await cluster.start(NodeRole.ORIGIN)
    edge = await cluster.start(NodeRole.EDGE)
    await cluster.encoder(origin)
    await cluster.watchers(edge, 2)
    await reload(edge)
    await cluster.watchers(edge, 3)

    async def all_viewers() -> bool:
        return sum(int(str(each["viewers"])) for each in await edge.workers()) == 5

    await until(all_viewers)
    sockets = sorted(path.name for path in edge.folder.glob("*.sock"))
    assert sockets == ["worker-0.0.sock", "worker-1.0.sock"]


async def test_other_edges_are_told_of_the_workers_that_serve_now(cluster: Cluster) -> None:
    async def told() -> tuple[str, ...]:
        return next((node.relays for node in await cluster.table.nodes()), ())

    async def some_are_told() -> bool:
        return len(await told()) == 1

    cluster.configure(NodeRole.EDGE, "node: {zone: b}\nedge: {zone_relay: true}\n")
    edge = await cluster.start(NodeRole.EDGE)
    await until(some_are_told)
    former = await told()

    async def others_are_told() -> bool:
        return await some_are_told() and await told() != former

    await reload(edge)
    await until(others_are_told)
    cluster.configure(NodeRole.EDGE, "node: {zone: b}\n")
    await reload(edge)

    async def none_are_told() -> bool:
        return await told() == ()

    await until(none_are_told)
