"""An encoder that goes on: reconnects when it is asked to, and when it is closed."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from common.errors import HeadwaterError
from common.local import ffmpeg
from common.local.ffmpeg import FfmpegProcess, find_ffmpeg
from common.rtmp.events import ReconnectRequested
from tests.support.publisher import Publisher, open_publisher
from tests.support.spine import make_frames, make_headers
from tests.support.wait import until

FRAME_S = 0.01
GOP = 5
_RETRY_S = 0.02


class Encoder:
    """Publishes 100 frames in a second, every fifth a keyframe, to one of ``servers`` for ever.

    When its connection is closed it goes to the next server. One that ``announces`` follows
    E-RTMP's ReconnectRequest instead: its new connection is there before it leaves the old one.
    """

    def __init__(self, servers: Sequence[str], stream: str, *, announces: bool) -> None:
        self.at: list[str] = []
        """The servers that it has published to, in order."""
        self.asked: list[str | None] = []
        """The addresses of ReconnectRequests that it has got."""
        self._servers = itertools.cycle(servers)
        self._stream = stream
        self._properties = {} if announces else {"capsEx": 0.0}
        self.task = asyncio.ensure_future(self._run())

    async def until_sessions(self, count: int) -> None:
        """Wait until so many publish sessions have begun."""
        await until(lambda: len(self.at) >= count)

    async def _run(self) -> None:
        publisher = await self._open_next()
        while True:
            try:
                asked = await self._send(publisher)
            finally:
                publisher.close()
            if asked is None:
                publisher = await self._open_next()
            else:
                self.asked.append(asked.tc_url)
                server = asked.tc_url.partition("://")[2] if asked.tc_url else self.at[-1]
                publisher = await self._open(server.partition("/")[0]) or await self._open_next()

    async def _send(self, publisher: Publisher) -> ReconnectRequested | None:
        """Send until the server closes, or asks to reconnect."""
        for tag in make_headers():
            publisher.send(tag)
        name = f"{len(self.at)}"
        for number in itertools.count():
            publisher.send(make_frames(name, 1 + number % GOP, first=number - number % GOP)[-1])
            await asyncio.sleep(FRAME_S)
            for event in publisher.events:
                if isinstance(event, ReconnectRequested):
                    return event
            if publisher.closed.done():
                return None
        return None

    async def _open_next(self) -> Publisher:
        for server in self._servers:
            if publisher := await self._open(server):
                return publisher
            await asyncio.sleep(_RETRY_S)
        raise AssertionError("no servers")

    async def _open(self, server: str) -> Publisher | None:
        try:
            publisher = await open_publisher(f"rtmp://{server}/{self._stream}", self._properties)
        except HeadwaterError:
            return None
        if not publisher.started.result():
            return None
        self.at.append(server)
        return publisher


@asynccontextmanager
async def encoding(
    servers: Sequence[str], stream: str, *, announces: bool = False
) -> AsyncIterator[Encoder]:
    """Publish for the length of the block."""
    encoder = Encoder(servers, stream, announces=announces)
    try:
        await encoder.until_sessions(1)
        yield encoder
    finally:
        encoder.task.cancel()
        await asyncio.wait({encoder.task})


@asynccontextmanager
async def picture_published(url: str) -> AsyncIterator[None]:
    """Publish a real picture with ffmpeg, again when it ends, as encoders do that reconnect."""

    async def go_on() -> None:
        while True:
            process = FfmpegProcess(find_ffmpeg(), ffmpeg.test_picture(url))
            await process.start()
            try:
                await process.ended()
            finally:
                await process.stop()

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
