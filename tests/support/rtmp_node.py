"""An RTMP server in this process with a role of a few lines, and a client that says anything."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from common.config.model import Settings
from common.errors import StreamNotFound
from common.ids import NodeId, StreamKey
from common.media.packet import Packet, Role
from common.net.connection import RtmpConnection
from common.net.roles import Encoder, PlayOrder, Publishing
from common.net.server import RtmpServer
from common.net.services import Services
from common.rtmp.chunk_reader import ChunkReader
from common.rtmp.command import Command, decode_command
from common.rtmp.events import PublishRequested
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message, MessageType
from common.stream.flusher import Flusher
from common.stream.live import LiveStream
from tests.support.wait import until
from tests.support.wire import C0C1, C2, PLAY_OBJECT, SERVER_HANDSHAKE_BYTES, command

HOST = "127.0.0.1"
NODE = NodeId("node-1")
STREAM = StreamKey("live/name")


class KeptPublishing:
    """A publish session that keeps what comes."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.stopped: list[str] = []
        self.stands_by = False

    def media(self, messages: list[Message]) -> None:
        """Keeps messages."""
        self.messages += messages

    def stop(self, reason: str) -> None:
        """Keeps the reason."""
        self.stopped.append(reason)


class SimpleRole:
    """Serves what is in ``streams``, and makes clients wait for what is in ``coming``."""

    def __init__(self) -> None:
        self.streams: dict[StreamKey, LiveStream] = {}
        self.coming: dict[StreamKey, asyncio.Future[LiveStream]] = {}
        self.orders: list[PlayOrder] = []
        self.publishing: list[KeptPublishing] = []
        self.left = 0

    def publish(self, encoder: Encoder, request: PublishRequested) -> Publishing | None:
        """Accepts everybody."""
        encoder.link.core.accept_publish(request.stream_id)
        self.publishing.append(KeptPublishing())
        return self.publishing[-1]

    def find(self, order: PlayOrder) -> LiveStream | None:
        """Returns a stream that is here."""
        self.orders.append(order)
        return self.streams.get(order.name.key)

    async def acquire(self, order: PlayOrder) -> LiveStream:
        """Waits for a stream that is coming."""
        if order.name.key not in self.coming:
            raise StreamNotFound(order.name.key)
        return await asyncio.shield(self.coming[order.name.key])

    def viewer_left(self, stream: LiveStream) -> None:
        """Counts."""
        self.left += 1


class Node:
    """The server, its role, and one stream that is live."""

    def __init__(self, settings: Settings) -> None:
        loop = asyncio.get_running_loop()
        self.settings = settings
        self.role = SimpleRole()
        self.flusher = Flusher(settings.fanout, loop)
        self.services = Services.of(settings, self.role, NODE, loop)
        self.server = RtmpServer(self.services, settings.rtmp.backlog)
        self.stream = self.new_stream(STREAM)
        self.role.streams[STREAM] = self.stream
        self.port = 0
        self.time_ms = 0

    def new_stream(self, key: StreamKey) -> LiveStream:
        """Returns a stream."""
        return LiveStream(key, self.settings.gop, self.flusher)

    def push(self, role: Role, payload: bytes, stream: LiveStream | None = None) -> None:
        """Pushes a packet, 10 ms after the last one."""
        self.time_ms += 10
        type_id = 8 if role in (Role.AUDIO, Role.AUDIO_HEADER) else 9
        (stream or self.stream).push(Packet(type_id, self.time_ms, payload, role))

    def begin_stream(self) -> None:
        """Sends headers and a keyframe."""
        self.push(Role.VIDEO_HEADER, b"VH1")
        self.push(Role.KEYFRAME, b"K1")

    @property
    def connections(self) -> list[RtmpConnection]:
        """The connections that are open."""
        return cast("list[RtmpConnection]", list(self.services.registry.connections))

    async def until_viewers(self, count: int) -> None:
        """Waits until so many watch."""
        await until(lambda: len(self.stream.viewers) == count)


@asynccontextmanager
async def running_node(**sections: object) -> AsyncIterator[Node]:
    """Runs a node with these settings on a free port."""
    node = Node(Settings.model_validate(sections))
    node.port = await node.server.listen_tcp(HOST, 0, shared=True)
    try:
        yield node
    finally:
        await node.server.stop()
        await until(lambda: not node.connections)


class NetClient:
    """A client's end of a real connection. It reads only when told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self._chunks = ChunkReader(RtmpLimits())
        self._skip = SERVER_HANDSHAKE_BYTES
        self.messages: list[Message] = []

    def send(self, data: bytes) -> None:
        """Sends bytes."""
        self.writer.write(data)

    def call(self, name: str, transaction: float, *values: Any, stream_id: int = 0) -> None:
        """Sends a command."""
        self.send(command(name, transaction, *values, stream_id=stream_id))

    def ask_to_play(self, name: str = "name", **properties: Any) -> None:
        """Sends all that a player sends until it plays, at once."""
        self.send(C0C1 + C2)
        self.call("connect", 1, PLAY_OBJECT | properties)
        self.call("createStream", 2, None)
        self.call("play", 0, None, name, stream_id=1)

    async def read(self) -> bool:
        """Reads once; returns False at the end. Raises ConnectionError for a reset."""
        async with asyncio.timeout(10):
            data = await self._reader.read(65_536)
        skipped, self._skip = data[: self._skip], max(0, self._skip - len(data))
        self.messages += self._chunks.feed(data[len(skipped) :])
        return bool(data)

    async def read_until(self, condition: Callable[[], bool]) -> None:
        """Reads until ``condition`` holds."""
        while not condition():
            assert await self.read(), f"closed after {self.codes} {self.media}"

    async def read_to_the_end(self) -> None:
        """Reads until the server closes; a reset is an error."""
        while await self.read():
            pass

    async def until_media(self, payload: bytes) -> None:
        """Reads until this audio or video has come."""
        await self.read_until(lambda: payload in self.media)

    async def until_code(self, code: str) -> None:
        """Reads until a status with this code has come."""
        await self.read_until(lambda: code in self.codes)

    @property
    def media(self) -> list[bytes]:
        """The audio and video that came."""
        return [each.payload for each in self.messages if each.type_id in (8, 9)]

    @property
    def codes(self) -> list[str]:
        """The codes of the statuses that came."""
        return [
            str(value["code"])
            for got in self._commands()
            for value in got.arguments
            if isinstance(value, dict) and "code" in value
        ]

    @property
    def results(self) -> dict[float, Any]:
        """The first argument of each `_result` that came, by transaction."""
        return {
            got.transaction_id: got.arguments[0]
            for got in self._commands()
            if got.name == "_result" and got.arguments
        }

    def _commands(self) -> list[Command]:
        return [
            decode_command(each.type_id, each.payload, RtmpLimits())
            for each in self.messages
            if each.type_id == MessageType.COMMAND_AMF0
        ]


@asynccontextmanager
async def connected(node: Node, *, receive_bytes: int = 0) -> AsyncIterator[NetClient]:
    """Connects to a node; with ``receive_bytes`` the kernel takes no more than about that."""
    sock = socket.socket()
    if receive_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (HOST, node.port))
    except OSError:
        sock.close()
        raise
    reader, writer = await asyncio.open_connection(sock=sock, limit=max(receive_bytes, 2048))
    async with _client(reader, writer) as client:
        yield client


@asynccontextmanager
async def connected_sibling(path: Path) -> AsyncIterator[NetClient]:
    """Connects to a node's socket for its own workers."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    async with _client(reader, writer) as client:
        yield client


@asynccontextmanager
async def _client(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> AsyncIterator[NetClient]:
    try:
        yield NetClient(reader, writer)
    finally:
        writer.transport.abort()
