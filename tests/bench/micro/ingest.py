"""Workers without sockets: all that a message costs on its way in, and out to one relay or viewer.

`Publish` is an origin worker with a publisher, `Relay` an edge worker with a pull. What they are
given is one read of a socket; the flush that follows it is part of the cost.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, cast

from common.clock import SystemClock
from common.cluster.memory import MemoryDirectory, MemoryTable
from common.cluster.records import NodeRole
from common.config.model import Settings
from common.ids import StreamKey
from common.media.flv_file import FlvTag
from common.net.connection import RtmpConnection
from common.net.services import Services
from common.relay.feed import RelayFeed
from common.relay.upstream import Upstream, UpstreamTimes
from common.rtmp.chunk_writer import CSID_AUDIO, CSID_DATA, CSID_VIDEO, chunk_message
from common.rtmp.client import ClientConnection, Mode
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message, MessageType
from common.rtmp.server import ServerConnection
from common.stream.blocks import OutputSpec
from common.stream.flusher import Flusher
from common.stream.live import LiveStream
from common.stream.source import new_source
from common.stream.viewer import Viewer, ViewerKind
from origin.claims import Claims
from origin.hub import Hub
from origin.ownership import LeaseKeeper
from origin.reading import Readings
from origin.role import OriginRole
from origin.standby import Standbys
from tests.bench.clip import Clip
from tests.support.chunks import CompressingWriter, set_chunk_size
from tests.support.fanout import FakeOwner
from tests.support.pair import accept, fixed_bytes
from tests.support.spine import make_context, turns

_CSIDS = {int(MessageType.AUDIO): CSID_AUDIO, int(MessageType.VIDEO): CSID_VIDEO}


class Soon:
    """The part of a loop that a flush needs: what it asks for happens when a read is over."""

    def __init__(self) -> None:
        self._calls: deque[Callable[[], None]] = deque()

    def call_soon(self, callback: Callable[[], None], /) -> None:
        """Keeps a call."""
        self._calls.append(callback)

    def call_later(self, delay: float, callback: Callable[[], None], /) -> None:
        """Keeps a call, whatever its time."""
        self._calls.append(callback)

    def run(self) -> None:
        """Makes the calls."""
        while self._calls:
            self._calls.popleft()()


class Wire:
    """A transport that takes everything at once and keeps what it took until it is asked."""

    def __init__(self) -> None:
        self.written: list[bytes | memoryview] = []

    def write(self, data: bytes | memoryview) -> None:
        """Keeps ``data``."""
        self.written.append(data)

    def take(self) -> bytes:
        """Returns what was written since the last call."""
        data = b"".join(self.written)
        self.written.clear()
        return data

    def get_write_buffer_size(self) -> int:
        """Returns 0: all is sent."""
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Does nothing."""

    def pause_reading(self) -> None:
        """Does nothing: reads come from the benchmark."""

    def resume_reading(self) -> None:
        """Does nothing."""

    def is_closing(self) -> bool:
        """Returns False."""
        return False

    def fileno(self) -> int:
        """Returns a low number: there is room."""
        return 3

    def get_extra_info(self, name: str) -> Any:
        """Returns itself for a socket, and a peer's address."""
        return self if name == "socket" else ("127.0.0.1", 1935)


class Publish:
    """An origin worker with one publisher and one relay."""

    def __init__(self, clip: Clip) -> None:
        self.out = Wire()
        self._soon = Soon()
        asyncio.run(self._begin(clip))

    @property
    def live(self) -> LiveStream:
        """The stream."""
        (live,) = self._hub.streams
        return live

    def receive(self, data: bytes) -> None:
        """Takes what one read of the publisher's socket has brought, and flushes."""
        self._connection.data_received(data)
        self._soon.run()

    async def _begin(self, clip: Clip) -> None:
        settings = Settings.model_validate({"lease": {"ttl_s": 3600}})  # nobody renews it
        loop = asyncio.get_running_loop()
        directory = MemoryDirectory(SystemClock(), table=MemoryTable(), lease=settings.lease)
        self._hub = Hub(settings, Flusher(settings.fanout, self._soon), loop)
        leases = LeaseKeeper(directory, settings.lease)
        standbys = Standbys(directory, leases, self._hub, _serves, settings.lease.renew_s)
        context = make_context(NodeRole.ORIGIN, settings, port=1935)
        claims = Claims(directory, leases, _serves)
        role = OriginRole(context, self._hub, leases, claims, standbys, Readings(0), SystemClock())
        services = replace(
            Services.of(settings, role, context.node, loop),
            loop=cast("asyncio.AbstractEventLoop", self._soon),
        )
        self._connection = RtmpConnection(services, door=services.door)
        wire = Wire()
        self._connection.connection_made(cast("asyncio.BaseTransport", wire))
        publisher = _client(Mode.PUBLISH, settings.rtmp.chunk_size)
        publisher.start()
        while data := publisher.data_to_send():
            self._connection.data_received(data)
            await turns(20)  # the routing table is asked
            publisher.receive_data(wire.take(), 0.0)
        for tag in clip.prelude:
            publisher.send_media(tag.type_id, tag.timestamp, tag.payload)
        self.receive(publisher.data_to_send())
        services.deadlines.close()
        spec = OutputSpec(chunk_size=settings.rtmp.chunk_size, relay=True)
        self.live.attach(Viewer(self.out, ViewerKind.RELAY, FakeOwner()), spec, services.now())


class Relay:
    """An edge worker with one pull and one viewer."""

    def __init__(self, clip: Clip) -> None:
        self.out = Wire()
        self._soon = Soon()
        asyncio.run(self._begin(clip))

    def receive(self, data: bytes) -> None:
        """Takes what one read of the relay's socket has brought, and flushes."""
        self._upstream.data_received(data)
        self._soon.run()

    async def _begin(self, clip: Clip) -> None:
        settings = Settings()
        flusher = Flusher(settings.fanout, self._soon)
        self.live = LiveStream(StreamKey("live/name"), settings.gop, flusher)
        self._feed = RelayFeed(self.live, RtmpLimits())
        self._feed.begin_relay(1)
        times = UpstreamTimes(connect_s=1.0, first_media_s=1.0, silence_s=1.0)
        core = _client(Mode.PLAY, settings.rtmp.chunk_size)
        self._upstream = Upstream(core, times, self._feed.take, lambda: None, lambda seconds: None)
        wire = Wire()
        self._upstream.connection_made(cast("asyncio.BaseTransport", wire))
        server = ServerConnection(
            RtmpLimits(), now=0.0, chunk_size=settings.rtmp.chunk_size, random_bytes=fixed_bytes
        )
        while data := wire.take():
            server.receive_data(data, 0.0)
            for event in server.events():
                accept(server, event)
            self._upstream.data_received(server.data_to_send())
        source = new_source().to_packet(0)
        headers = [_message(tag) for tag in clip.prelude if tag.type_id != MessageType.DATA_AMF0]
        first = Message(source.type_id, 0, 1, source.payload)
        self.receive(b"".join(map(_whole, (first, *headers))))
        spec = OutputSpec(chunk_size=settings.rtmp.chunk_size)
        self.live.attach(Viewer(self.out, ViewerKind.PLAYER, FakeOwner()), spec, 0.0)


def publisher_reads(clip: Clip, chunk_size: int) -> list[bytes]:
    """Returns a clip in reads as encoders fill them, with the short headers that they write."""
    writer = CompressingWriter(chunk_size=chunk_size)
    prelude = set_chunk_size(chunk_size)
    reads = [
        b"".join([writer.write(_message(tag), _CSIDS[tag.type_id]) for tag in burst])
        for burst in _bursts(clip.media)
    ]
    return [prelude + reads[0], *reads[1:]]


def relay_reads(clip: Clip) -> list[bytes]:
    """Returns a clip in reads as an origin fills them."""
    return [b"".join([_whole(_message(tag)) for tag in burst]) for burst in _bursts(clip.media)]


def _bursts(tags: Iterable[FlvTag]) -> list[list[FlvTag]]:
    """Return each picture with the sound before it: encoders hold sound back so far."""
    bursts: list[list[FlvTag]] = [[]]
    for tag in tags:
        bursts[-1].append(tag)
        if tag.type_id == MessageType.VIDEO:
            bursts.append([])
    return [burst for burst in bursts if burst]


def _client(mode: Mode, chunk_size: int) -> ClientConnection:
    return ClientConnection(
        RtmpLimits(),
        tc_url="rtmp://host/live",
        app="live",
        stream_name="name",
        mode=mode,
        now=0.0,
        chunk_size=chunk_size,
        random_bytes=fixed_bytes,
    )


def _message(tag: FlvTag) -> Message:
    return Message(tag.type_id, tag.timestamp, 1, tag.payload)


def _whole(message: Message) -> bytes:
    """Return a message as our own nodes send it."""
    return chunk_message(
        message.type_id,
        message.timestamp,
        message.stream_id,
        message.payload,
        csid=_CSIDS.get(message.type_id, CSID_DATA),
        chunk_size=Settings().rtmp.chunk_size,
    )


async def _serves(route: object) -> bool:
    return False
