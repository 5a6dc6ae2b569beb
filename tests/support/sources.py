"""Sources that a test feeds by hand, as real RTMP servers, and viewers that keep what they get."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from common.config.model import Settings
from common.errors import StreamNotFound
from common.ids import NodeId, StreamKey
from common.local.redis_server import HOST
from common.media.flv_file import FlvTag
from common.media.packet import Role
from common.media.timeline import Timeline
from common.net.registry import Client
from common.net.roles import Encoder, PlayOrder, Publishing
from common.net.server import RtmpServer
from common.net.services import Services
from common.rtmp.chunk_reader import ChunkReader
from common.rtmp.events import PublishRequested
from common.rtmp.message import Message
from common.stream.blocks import OutputSpec
from common.stream.flusher import Flusher
from common.stream.ingest import StreamClock, StreamFeed
from common.stream.live import LiveStream
from common.stream.source import StreamSource
from common.stream.viewer import Viewer, ViewerKind
from tests.support.spine import FRAME_MS, STREAM, frame_name, make_frames, make_headers

_CHUNK_SIZE = 128  # what a reader begins with


class MovedClock:
    """The clock of a node that serves a publish session at times of its own."""

    def __init__(self, offset_ms: int) -> None:
        self._offset_ms = offset_ms

    def stamp(
        self, type_id: int, wire: int, role: Role, track: int = 0, payload: bytes = b""
    ) -> int:
        """Return the time, moved."""
        return wire + self._offset_ms


class Source:
    """Serves streams to relays, as an origin worker or a sibling does, and notes who asks."""

    def __init__(self, settings: Settings, node: str) -> None:
        loop = asyncio.get_running_loop()
        self.settings = settings
        self.address = ""
        self.orders: list[PlayOrder] = []
        self.streams: dict[StreamKey, LiveStream] = {}
        self._services = Services.of(settings, self, NodeId(node), loop)
        self.server = RtmpServer(self._services, settings.rtmp.backlog)
        self._flusher = Flusher(settings.fanout, loop)
        self._feeds: dict[StreamKey, StreamFeed] = {}

    @property
    def connections(self) -> list[Client]:
        """The connections that are open."""
        return list(self._services.registry.connections)

    @property
    def relays(self) -> int:
        """How many take a stream from here now."""
        return sum(len(stream.viewers) for stream in self.streams.values())

    def send(self, name: str, count: int, *, first: int = 0, stream: StreamKey = STREAM) -> None:
        """Send frames; a new stream begins with its headers, and does not say what it is."""
        tags = make_frames(name, count, first=first)
        if stream not in self.streams:
            self._begin(Timeline(), stream)
            tags = make_headers() + tags
        self.send_tags(tags, stream)

    def begin(self, session: int, *, offset_ms: int = 0, stream: StreamKey = STREAM) -> None:
        """Begin a publish session, or serve one, at a clock ``offset_ms`` ahead of its origin's.

        Relays are told.
        """
        live = self._begin(MovedClock(offset_ms), stream)
        at = max((each.timestamp + FRAME_MS for each in live.gop.packets), default=offset_ms)
        live.begin_session(StreamSource(session=session, offset_ms=offset_ms), at)
        self.send_tags(make_headers(), stream)

    def _begin(self, clock: StreamClock, stream: StreamKey) -> LiveStream:
        live = self.streams.get(stream)
        if live is None:
            live = self.streams[stream] = LiveStream(stream, self.settings.gop, self._flusher)
        self._feeds[stream] = StreamFeed(live, clock, self.settings.rtmp.limits())
        return live

    def send_tags(self, tags: list[FlvTag], stream: StreamKey = STREAM) -> None:
        """Send any messages of a stream that has begun."""
        messages = [Message(tag.type_id, tag.timestamp, 1, tag.payload) for tag in tags]
        self._feeds[stream].take(messages)

    def end(self, stream: StreamKey = STREAM) -> None:
        """End a stream as when its publisher leaves."""
        self.streams.pop(stream).end("unpublished")

    async def kill(self) -> None:
        """End as a process that dies."""
        await self.server.stop()

    # What a role is asked.

    def publish(self, encoder: Encoder, request: PublishRequested) -> Publishing | None:
        """Refuse: tests use `send`."""
        encoder.link.core.reject_publish(request.stream_id, "NetStream.Publish.Denied", "")
        return None

    def find(self, order: PlayOrder) -> LiveStream | None:
        """Return a stream that is fed."""
        self.orders.append(order)
        return self.streams.get(order.name.key)

    async def acquire(self, order: PlayOrder) -> LiveStream:
        """Say that there is none."""
        raise StreamNotFound(order.name.key)

    def viewer_left(self, stream: LiveStream) -> None:
        """Take no notice."""


@asynccontextmanager
async def running_source(
    settings: Settings, node: str = "origin-x", *, socket: Path | None = None
) -> AsyncIterator[Source]:
    """A source on a free port, or on the Unix socket of a sibling."""
    source = Source(settings, node)
    if socket is None:
        source.address = f"{HOST}:{await source.server.listen_tcp(HOST, 0, shared=False)}"
    else:
        await source.server.listen_siblings(socket)
    try:
        yield source
    finally:
        await source.kill()


class Recorder:
    """A viewer of a live stream that keeps all messages."""

    def __init__(self, live: LiveStream, kind: ViewerKind = ViewerKind.PLAYER) -> None:
        self.messages: list[Message] = []
        self.ended: list[str] = []
        self.on_end: Callable[[], None] = lambda: None
        self.viewer = Viewer(self, kind, self)
        self._live = live
        self._reader = ChunkReader(Settings().rtmp.limits())
        live.attach(self.viewer, OutputSpec(chunk_size=_CHUNK_SIZE), 0.0)

    @property
    def frames(self) -> list[str]:
        """The frames that came, as `make_frames` names them."""
        return [name for each in self.messages if (name := frame_name(each.payload))]

    @property
    def times(self) -> list[int]:
        """The times of those frames."""
        return [each.timestamp for each in self.messages if frame_name(each.payload)]

    def leave(self) -> None:
        """Watch no more."""
        self._live.detach(self.viewer)

    # What a sink and an owner are asked.

    def write(self, data: bytes | memoryview) -> None:
        """Take bytes."""
        self.messages += self._reader.feed(bytes(data))

    def get_write_buffer_size(self) -> int:
        """Everything is sent."""
        return 0

    def viewer_started(self, viewer: Viewer) -> None:
        """Take no notice."""

    def viewer_kicked(self, viewer: Viewer, reason: str) -> None:
        """Be gone."""
        self.viewer_ended(viewer, reason)

    def viewer_ended(self, viewer: Viewer, reason: str) -> None:
        """Be gone."""
        self.ended.append(reason)
        self.leave()
        self.on_end()
