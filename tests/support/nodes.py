"""Two origins and an edge in this process, encoders that never stop, and what their viewers see."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from common.cluster.redis_directory import RedisDirectory
from common.config.model import RedisSettings
from origin.app import OriginApp
from tests.support.publisher import Publisher, open_publisher
from tests.support.spine import (
    STREAM,
    InProcess,
    frame_name,
    make_frames,
    make_headers,
    quick_settings,
    running_edge,
    running_origin,
)
from tests.support.wait import until
from tests.support.watcher import Watcher


@dataclass
class Nodes:
    """The nodes, and one more view of their table."""

    a: InProcess
    b: InProcess
    edge: InProcess
    table: RedisDirectory


@asynccontextmanager
async def running_nodes(
    redis: RedisSettings, **sections: dict[str, object]
) -> AsyncIterator[Nodes]:
    """Run the nodes on a Redis, each with a view of the table of its own."""
    settings = quick_settings(redis=redis.model_dump(), **sections)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        a, b, edge, table = (RedisDirectory(settings.redis, settings.lease) for _ in range(4))
        stack.push_async_callback(table.close)
        yield Nodes(
            a=await enter(running_origin(a, settings, "origin-a")),
            b=await enter(running_origin(b, settings, "origin-b")),
            edge=await enter(running_edge(edge, settings, "edge-1")),
            table=table,
        )


class Encoder:
    """Publishes frames for ever, 100 in a second, until it is closed or thrown out."""

    def __init__(self, publisher: Publisher, name: str) -> None:
        self.publisher = publisher
        self._task = asyncio.ensure_future(self._send(name))

    async def _send(self, name: str) -> None:
        for tag in make_headers():
            self.publisher.send(tag)
        for number in itertools.count():
            if self.publisher.closed.done():
                return
            self.publisher.send(make_frames(name, 1 + number % 5, first=number - number % 5)[-1])
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Stop, and close the connection."""
        self._task.cancel()
        await asyncio.wait({self._task})
        self.publisher.close()


@asynccontextmanager
async def publishing(origin: InProcess, name: str, stream: str = STREAM) -> AsyncIterator[Encoder]:
    """Publish for the length of the block."""
    publisher = await open_publisher(origin.url(stream))
    assert publisher.started.result()
    encoder = Encoder(publisher, name)
    try:
        yield encoder
    finally:
        await encoder.stop()


def names(watcher: Watcher) -> list[str]:
    """Return who sent the frames that came, in runs."""
    frames = (frame_name(tag.payload) for tag in watcher.coded)
    return [name for name, _ in itertools.groupby(frame.partition("-")[0] for frame in frames)]


def assert_plays_on(watcher: Watcher) -> None:
    """Fail if time did not increase with every frame, or the viewer was told of an end."""
    times = [tag.timestamp for tag in watcher.coded]
    assert all(before < after for before, after in itertools.pairwise(times))
    assert not watcher.was_told_the_end
    assert not watcher.player.closed.done()


async def route_node(nodes: Nodes) -> str | None:
    """Return the node that holds the stream."""
    route = await nodes.table.lookup(STREAM)
    return route.claim.node if route else None


async def until_routed_to(nodes: Nodes, node: str | None) -> None:
    """Wait until the stream is held by this node; None: by nobody."""

    async def is_routed() -> bool:
        return await route_node(nodes) == node

    await until(is_routed)


async def kill(origin: InProcess) -> None:
    """End an origin as a kill -9 does: its sockets close, and nobody gives its leases up."""
    app = origin.app
    assert isinstance(app, OriginApp)
    await app._standbys.close()
    for loop in app._leases._loops:
        loop.cancel()
    app._leases._leases.clear()
    await app._server.stop()
