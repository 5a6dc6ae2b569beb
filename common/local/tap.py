"""A TCP relay between an encoder and its server, which notes when each video message passes.

With it latency is measured by content: the same payload is met again at a player, whatever
timestamps were made of it on the way. Bytes go through unchanged and at once.
"""

import asyncio
from collections import OrderedDict
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import Final

from common.errors import ChunkError
from common.rtmp.chunk_reader import ChunkReader
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import MessageType

HOST: Final = "127.0.0.1"
REMEMBERED: Final = 4096
"""Messages whose passing is remembered: over a minute of video."""

_CLIENT_HANDSHAKE_BYTES: Final = 1 + 2 * 1536  # C0, C1 and C2
_READ_BYTES: Final = 65_536


class Tap:
    """Forwards connections to one server for the length of an ``async with`` block."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._passed: OrderedDict[int, float] = OrderedDict()  # by hash of the payload
        self.video_seen = asyncio.Event()
        self.port = 0

    async def __aenter__(self) -> "Tap":
        self._server = await asyncio.start_server(self._connected, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def passed_at(self, payload: bytes) -> float | None:
        """Return when a video message with this payload passed, by `time.monotonic`."""
        return self._passed.get(hash(payload))

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not a coroutine: asyncio before 3.12 logs a traceback when the task that it makes of one
        # is cancelled.
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError):
                await self._forward(reader, writer)
        finally:
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(*self._target)
        try:
            watch = _Watch(self)
            directions = [
                asyncio.ensure_future(_copy(reader, server_writer, watch)),
                asyncio.ensure_future(_copy(server_reader, writer, None)),
            ]
            try:
                await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for direction in directions:
                    direction.cancel()
                await asyncio.gather(*directions, return_exceptions=True)
        finally:
            server_writer.close()

    def note(self, payload: bytes) -> None:
        """Take note that a video message passes just now."""
        self._passed[hash(payload)] = monotonic()
        if len(self._passed) > REMEMBERED:
            self._passed.popitem(last=False)
        self.video_seen.set()


class _Watch:
    """Reads along what an encoder sends."""

    def __init__(self, tap: Tap) -> None:
        self._tap = tap
        self._reader: ChunkReader | None = ChunkReader(RtmpLimits())
        self._skip = _CLIENT_HANDSHAKE_BYTES

    def feed(self, data: bytes) -> None:
        """Note the video messages that ``data`` completes."""
        skipped = min(self._skip, len(data))
        self._skip -= skipped
        if self._reader is None or skipped == len(data):
            return
        try:
            messages = self._reader.feed(data[skipped:])
        except ChunkError:
            self._reader = None  # the server will say what is wrong; we only read along
            return
        for message in messages:
            if message.type_id == MessageType.VIDEO:
                self._tap.note(message.payload)


async def _copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, watch: _Watch | None
) -> None:
    while data := await reader.read(_READ_BYTES):
        if watch is not None:
            watch.feed(data)
        writer.write(data)
        await writer.drain()
