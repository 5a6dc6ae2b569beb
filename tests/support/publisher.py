"""An encoder in this process: publishes FLV tags at the pace of their times, or faster."""

import asyncio
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Any

from common.local.client import RtmpClient, open_client
from common.media.flv_file import FlvTag
from common.rtmp.client import ClientConnection, Mode
from common.rtmp.events import ClientEvent, Closed, PublishStarted


class Publisher(RtmpClient):
    """A client that publishes; ``started`` is set when it may."""

    def __init__(self, core: ClientConnection) -> None:
        super().__init__(core)
        self.started: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def _note(self, event: ClientEvent, now: float) -> None:
        if isinstance(event, PublishStarted | Closed) and not self.started.done():
            self.started.set_result(isinstance(event, PublishStarted))

    def send(self, tag: FlvTag, *, offset: int = 0) -> None:
        """Send one tag, its time moved by ``offset`` modulo 2^32."""
        self._core.send_media(tag.type_id, (tag.timestamp + offset) & 0xFFFFFFFF, tag.payload)
        self._flush()

    def send_payload(self, type_id: int, timestamp: int, payload: bytes) -> None:
        """Send one message."""
        self._core.send_media(type_id, timestamp, payload)
        self._flush()

    async def send_all(
        self, tags: Iterable[FlvTag], *, offset: int = 0, speed: float = 4.0
    ) -> None:
        """Send tags ``speed`` times as fast as their times say."""
        began = monotonic()
        first: int | None = None
        for tag in tags:
            first = tag.timestamp if first is None else first
            due = began + (tag.timestamp - first) / 1000 / speed
            if (wait := due - monotonic()) > 0:
                await asyncio.sleep(wait)  # the pace of an encoder
            self.send(tag, offset=offset)


async def open_publisher(url: str, properties: Mapping[str, Any] | None = None) -> Publisher:
    """Return a publisher that has been answered; ``started`` says how."""
    publisher = await open_client(url, Mode.PUBLISH, Publisher, properties)
    async with asyncio.timeout(10):
        await publisher.started
    return publisher
