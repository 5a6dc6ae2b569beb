"""Two zones: an origin in one, edges in the other that share one pull of each stream."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest
from pydantic import SecretStr

from common.cli.streams import fetch_rows
from common.cluster.redis_directory import RedisDirectory
from common.config.model import LeaseSettings, RedisSettings
from common.ids import NodeId
from common.local.admin import fetch_metrics
from common.local.cluster import ClusterOptions, LocalCluster, LocalNode
from edge.app import EdgeApp
from edge.rendezvous import owner_of
from edge.zone import Zone
from tests.support.encoder import encoding
from tests.support.logged import logged
from tests.support.nodes import Encoder, assert_plays_on, publishing
from tests.support.processes import children
from tests.support.spine import (
    STREAM,
    InProcess,
    frame_name,
    quick_settings,
    running_edge,
    running_origin,
)
from tests.support.wait import until
from tests.support.watcher import Watcher, watching
from tests.support.zones import HERE, THERE, edge_node, origin_node, put_nodes

pytestmark = pytest.mark.integration

EDGES = 3
WORKERS = 2

SETTINGS = (
    "supervisor.heartbeat_s=0.1",
    "lease.renew_s=0.2",
    "lease.ttl_s=2",
    "edge.recheck_s=2",
    "edge.zone_relay=true",
    f"node.zone={HERE}",
)


class Zones:
    """The cluster, one more view of its table, and what the origin serves."""

    def __init__(self, cluster: LocalCluster, http: aiohttp.ClientSession) -> None:
        self.cluster = cluster
        self.origin = cluster.origins[0]
        self.edges = {NodeId(node.info.id): node for node in cluster.edges}
        redis = RedisSettings(url=SecretStr(cluster.redis_url))
        self.table = RedisDirectory(redis, LeaseSettings())
        self._http = http

    def url(self, node: LocalNode) -> str:
        return f"rtmp://{node.info.rtmp}/{STREAM}"

    def parent(self, *without: NodeId) -> NodeId:
        """Return the edge that pulls the stream for its zone."""
        return owner_of(STREAM, self.edges.keys() - set(without))

    async def is_shared_out(self) -> bool:
        """Say whether one relay leaves the zone of the origin, and all others are from the parent.

        Nodes tell their figures once a second.
        """
        page = await fetch_metrics(self._http, self.origin.info.admin)
        return page.value("headwater_viewers", kind="relay") == 1

    async def relays(self, node: LocalNode) -> dict[str, float]:
        """Return what a node's running relays come from."""
        page = await fetch_metrics(self._http, node.info.admin)
        sources = ("origin", "zone")
        return {
            source: page.value("headwater_relays", state="streaming", source=source)
            for source in sources
        }

    def says(self, node: LocalNode, source: str) -> Callable[[], Awaitable[bool]]:
        """Return a look at whether a node says that its one relay comes from ``source``."""

        async def look() -> bool:
            relays = await self.relays(node)
            return relays == {each: each == source for each in relays}

        return look


@pytest.fixture
async def zones() -> AsyncIterator[Zones]:
    options = ClusterOptions(
        origins=1,
        edges=EDGES,
        workers=WORKERS,
        settings=SETTINGS,
        node_settings={"origin-1": (f"node.zone={THERE}",)},
        restart=False,
    )
    async with (
        LocalCluster(options, log=lambda line: None) as cluster,
        aiohttp.ClientSession() as http,
    ):
        zones = Zones(cluster, http)

        async def all_serve_relays() -> bool:
            nodes = await zones.table.nodes()
            return sum(len(node.relays) == WORKERS for node in nodes) == EDGES

        try:
            await until(all_serve_relays)
            yield zones
        finally:
            await zones.table.close()


def shown(watcher: Watcher) -> Mapping[str, int]:
    """Return the times of all frames that came."""
    return {frame_name(tag.payload): tag.timestamp for tag in watcher.coded}


def assert_nothing_is_missing(watcher: Watcher) -> None:
    assert_plays_on(watcher)
    numbers = [int(name.rpartition("-")[2]) for name in shown(watcher)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@asynccontextmanager
async def played(zones: Zones) -> AsyncIterator[dict[NodeId, Watcher]]:
    """Have a viewer at each edge, when the zone has agreed who pulls."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        await enter(encoding([zones.origin.info.rtmp], STREAM))
        watchers = {node: await enter(watching(zones.url(at))) for node, at in zones.edges.items()}
        for watcher in watchers.values():
            await watcher.until_more(5)
        await until(zones.is_shared_out)
        yield watchers


async def test_one_relay_crosses_for_all_edges_and_all_viewers_see_the_same(zones: Zones) -> None:
    async with played(zones) as watchers:
        for watcher in watchers.values():
            await watcher.until_more(50)
        assert await zones.is_shared_out()
        for node, at in zones.edges.items():
            await until(zones.says(at, "origin" if node == zones.parent() else "zone"))
        one, *others = map(shown, watchers.values())
        for other in others:
            both = one.keys() & other.keys()
            assert len(both) >= 50
            assert {name: one[name] for name in both} == {name: other[name] for name in both}
        for watcher in watchers.values():
            assert_nothing_is_missing(watcher)

        async def all_are_listed() -> bool:
            [row] = await fetch_rows(zones.table)
            return set(row.edges) == zones.edges.keys() and row.viewers == EDGES

        await until(all_are_listed)  # relays between edges are no viewers


async def kill(node: LocalNode) -> None:
    for pid in (node.info.pid, *children(node.info.pid)):
        os.kill(pid, signal.SIGKILL)


async def drain(node: LocalNode) -> None:
    os.kill(node.info.pid, signal.SIGTERM)


@pytest.mark.parametrize("leave", [kill, drain])
async def test_another_parent_follows_one_that_is_gone_and_nobody_misses_anything(
    zones: Zones, leave: Callable[[LocalNode], Awaitable[None]]
) -> None:
    async with played(zones) as watchers:
        parent = zones.parent()
        next_one = zones.parent(parent)
        others = {node: watcher for node, watcher in watchers.items() if node != parent}
        await leave(zones.edges[parent])

        async def has_followed() -> bool:
            relays = await zones.relays(zones.edges[next_one])
            return relays["origin"] == 1 and await zones.is_shared_out()

        if leave is kill:
            await until(has_followed)
        else:  # its own viewers stay with it for a while, and so does its pull
            await until(lambda: all_from(zones, others))
        for watcher in others.values():
            await watcher.until_more(20)
            assert_nothing_is_missing(watcher)


async def all_from(zones: Zones, nodes: Mapping[NodeId, Watcher]) -> bool:
    """Say whether exactly one of ``nodes`` pulls from the origin, and the others from it."""
    found = [await zones.relays(zones.edges[node]) for node in nodes]
    return sorted(each["origin"] for each in found) == [0, 1]


# Views that differ


@dataclass
class Pair:
    """Two edges in this process, and the origin from which both could pull."""

    edges: list[InProcess]
    origin: InProcess


def zone_of(edge: InProcess) -> Zone:
    """Return what an edge knows of its zone."""
    assert isinstance(edge.app, EdgeApp)
    return edge.app._zone


@pytest.fixture
async def pair(redis_settings: RedisSettings) -> AsyncIterator[Pair]:
    """Each of the two believes that the other one is there, and that it is not itself."""
    here = {"node": {"zone": HERE}, "edge": {"zone_relay": True, "recheck_s": 0.2, "linger_s": 1}}
    settings = quick_settings(redis=redis_settings.model_dump(), **here)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        tables = [RedisDirectory(settings.redis, settings.lease) for _ in range(3)]
        edges = [
            await enter(running_edge(table, settings, f"edge-{n}"))
            for n, table in enumerate(tables[:2], 1)
        ]
        origin = await enter(running_origin(tables[2], settings, "origin-1"))
        listing = RedisDirectory(settings.redis, settings.lease)
        stack.push_async_callback(listing.close)
        for at, other in (edges, edges[::-1]):
            zone = zone_of(at)
            assert zone._reading is not None
            zone._reading.cancel()  # what it believes from now on, stays
            parent = edge_node(other.context.node, other.app.status().relay)
            await put_nodes(listing, origin_node("origin-1"), parent)
            await zone.refresh()
            await listing.remove_node(parent.id)
        yield Pair(edges, origin)


async def test_edges_that_each_take_the_other_for_the_parent_both_play(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        encoder: Encoder = await enter(publishing(pair.origin, "a"))
        opened = [asyncio.ensure_future(enter(watching(each.url()))) for each in pair.edges]
        watchers = await asyncio.gather(*opened)
        for watcher in watchers:
            await watcher.until_more(200)  # several checks, and each may move a pull
        assert "in a loop" not in logged(caplog)
        for watcher in watchers:
            assert_nothing_is_missing(watcher)
        assert not encoder.publisher.closed.done()
