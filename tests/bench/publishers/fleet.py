"""Publishers in one or more processes, as one."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.local.staged import Staged

from ..child import FINISH, MEASURE, Child

_PER_PROCESS: Final = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What was sent, and how late compared with the clip's own clock."""

    messages: int
    bytes: int
    late_p99_ms: float


class Publishing(Staged):
    """Publishes ``streams`` streams of a clip for the length of an ``async with`` block."""

    def __init__(self, url: str, clip: Path, streams: int) -> None:
        super().__init__()
        self._url = url
        self._clip = clip
        self._streams = streams
        self._children: list[Child] = []

    async def _start(self, stack: AsyncExitStack) -> None:
        stack.push_async_callback(self._stop)
        for first in range(0, self._streams, _PER_PROCESS):
            child = Child("publishers", lambda report: None)
            self._children.append(child)
            count = min(_PER_PROCESS, self._streams - first)
            options = {"url": self._url, "clip": str(self._clip), "first": first}
            await child.start({**options, "count": count})
        await asyncio.gather(*(child.wait_for("publishing") for child in self._children))

    def measure(self) -> None:
        """Begin to count how late messages are."""
        for child in self._children:
            child.order(MEASURE)

    async def finish(self) -> Published:
        """End the streams; return what was sent."""
        for child in self._children:
            child.order(FINISH)
        reports = await asyncio.gather(*(child.wait_for("result") for child in self._children))
        return Published(
            messages=sum(each["messages"] for each in reports),
            bytes=sum(each["bytes"] for each in reports),
            late_p99_ms=max(each["late_p99_ms"] for each in reports),
        )

    async def _stop(self) -> None:
        await asyncio.gather(*(child.stop() for child in self._children))
