"""A viewer in this process that keeps everything it gets."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from common.local.player import RtmpPlayer, open_player
from common.media.flv_file import FlvTag
from common.media.packet import Role
from common.rtmp.events import StreamEnded
from common.rtmp.message import Message
from tests.support.media import CODED, role_of
from tests.support.wait import until
from tests.support.wire import command


class Watcher:
    """The messages of one player, as tags, in the order of their coming."""

    def __init__(self) -> None:
        self.tags: list[FlvTag] = []
        self.player: RtmpPlayer

    def take(self, message: Message, now: float) -> None:
        """Keep a message."""
        self.tags.append(FlvTag(message.type_id, message.timestamp, message.payload))

    @property
    def roles(self) -> list[Role]:
        """What came, in order."""
        return [role_of(tag) for tag in self.tags]

    @property
    def coded(self) -> list[FlvTag]:
        """The coded media among it."""
        return [tag for tag in self.tags if role_of(tag) in CODED]

    @property
    def was_told_the_end(self) -> bool:
        """Whether the server said that the stream is over."""
        return any(isinstance(event, StreamEnded) for event in self.player.events)

    def count(self, *roles: Role) -> int:
        """Return how many messages of these roles came."""
        return sum(role in roles for role in self.roles)

    def say(self, name: str, *values: Any) -> None:
        """Send a command on the stream that is played."""
        self.player.write(command(name, 0, None, *values, csid=8, stream_id=1))

    async def until(self, condition: Callable[[], bool], timeout_s: float = 20) -> None:
        """Wait until ``condition`` holds; fail when the connection is closed before."""
        await until(lambda: condition() or self.player.closed.done(), timeout_s)
        assert condition(), self.player.events

    async def until_more(self, count: int = 10) -> None:
        """Wait for more messages."""
        wanted = len(self.tags) + count
        await self.until(lambda: len(self.tags) >= wanted)

    async def until_closed(self) -> None:
        """Wait until the server has closed the connection."""
        async with asyncio.timeout(30):
            await asyncio.shield(self.player.closed)


@asynccontextmanager
async def watching(url: str, properties: Mapping[str, Any] | None = None) -> AsyncIterator[Watcher]:
    """Play ``url`` for the length of the block."""
    watcher = Watcher()
    watcher.player = await open_player(url, watcher.take, properties)
    try:
        yield watcher
    finally:
        watcher.player.close()
