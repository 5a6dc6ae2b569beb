"""One edge worker without its listeners, and the sources round it."""

import asyncio
import itertools
from collections.abc import Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from common.clock import SystemClock
from common.cluster.memory import MemoryTable
from common.cluster.records import ClusterEvent, EventKind, NodeRole, Route
from common.config.model import PublisherPolicy, Settings
from common.ids import NodeId, StreamKey
from common.local.redis_server import HOST
from common.media.recent import ResumePoint
from common.net.hello import RelayHello
from common.net.roles import PlayOrder
from common.stream.flusher import Flusher
from common.stream.viewer import ViewerKind
from common.streamkey import StreamName
from edge.locate import Locator
from edge.pull import Pull
from edge.streams import Streams
from edge.zone import Zone
from tests.support.chaos_proxy import ChaosProxy
from tests.support.cluster import make_claim
from tests.support.sources import Recorder, Source, running_source
from tests.support.spine import STREAM, make_context
from tests.support.wait import until
from tests.support.watched_directory import WatchedDirectory

_serial = itertools.count()


class Edge:
    """The worker and what it stands on; sources end with ``stack``."""

    def __init__(self, settings: Settings, folder: Path, stack: AsyncExitStack) -> None:
        loop = asyncio.get_running_loop()
        self.settings = settings
        self.table = MemoryTable()
        self.directory = WatchedDirectory(self.table, SystemClock())
        self.context = make_context(NodeRole.EDGE, settings, folder=folder)
        self.locator = Locator(self.directory, settings.edge.negative_cache_s, loop.time)
        self.zone = Zone(self.directory, self.context, loop.time)
        self.locator.on_draining = self.zone.drains
        flusher = Flusher(settings.fanout, loop)
        self.streams = Streams(self.context, self.locator, self.zone, flusher)
        self._stack = stack

    async def source(self, slot: int | None = None) -> Source:
        """Start an origin worker, or a sibling in ``slot``."""
        socket = None if slot is None else self.context.sibling_socket(slot)
        running = running_source(self.settings, socket=socket)
        return await self._stack.enter_async_context(running)

    async def way_to(self, source: Source) -> ChaosProxy:
        """Put a proxy before ``source``, which is found there from now on."""
        host, port = source.address.split(":")
        proxy = await self._stack.enter_async_context(ChaosProxy((host, int(port))))
        source.address = f"{proxy.host}:{proxy.port}"
        return proxy

    async def closing_port(self) -> str:
        """Open a port that accepts, and closes at once; return its address."""
        server = await asyncio.start_server(lambda _, writer: writer.close(), HOST, 0)
        self._stack.callback(server.close)
        return f"{HOST}:{server.sockets[0].getsockname()[1]}"

    async def claim(self, source: Source, stream: StreamKey = STREAM) -> Route:
        """Make ``source`` the stream's owner, by a publish session of its own."""
        claim = make_claim(stream, owner=f"origin/0/{next(_serial)}")
        claim = replace(claim, address=source.address)
        return await self.directory.claim(claim, PublisherPolicy.TAKEOVER)

    async def suspicion(self) -> ClusterEvent:
        """Return the next suspicion that is announced."""
        events = self.directory.events()
        async with asyncio.timeout(5), aclosing(events):
            while (event := await anext(events)).kind is not EventKind.SUSPECT:
                pass
        return event

    async def watch(self) -> Recorder:
        """Watch the stream."""
        return Recorder(await self.streams.acquire(order()))

    def pull(self) -> Pull:
        """The stream's pull."""
        return self.streams._entries[STREAM].pull


def order(
    stream: str = STREAM,
    kind: ViewerKind = ViewerKind.PLAYER,
    hops: tuple[str, ...] | None = None,
    since: ResumePoint | None = None,
) -> PlayOrder:
    name = StreamName(key=StreamKey(stream), app="live")
    hello = None
    if hops is not None:
        nodes = tuple(NodeId(hop) for hop in hops)
        hello = RelayHello(node=nodes[-1], hops=nodes, since=since)
    return PlayOrder(name=name, kind=kind, hello=hello)


def with_edge(**settings: object) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("sections", [{"edge": settings}])


def ends_with(recorder: Recorder, name: str) -> Callable[[], bool]:
    return lambda: recorder.frames[-1:] == [name]


async def streaming(edge: Edge) -> tuple[Source, Recorder]:
    """Have a viewer at a stream that runs, five frames of it."""
    source = await edge.source()
    await edge.claim(source)
    source.send("a", 5)
    recorder = await edge.watch()
    await until(ends_with(recorder, "a-4"))
    return source, recorder
