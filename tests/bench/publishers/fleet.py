"""Publishers in one or more processes, as one."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from ..child import FINISH, MEASURE, Child

_PER_PROCESS: Final = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What was sent, and how late compared with the clip's own clock."""

    messages: int
    bytes: int
    late_p99_ms: float


class Publishing:
    """Publishes ``streams`` streams of a clip for the length of an ``async with`` block."""

    def __init__(self, url: str, clip: Path, streams: int) -> None:
        self._url = url
        self._clip = clip
        self._streams = streams
        self._children: list[Child] = []

    async def __aenter__(self) -> "Publishing":
        try:
            for first in range(0, self._streams, _PER_PROCESS):
                child = Child("publishers", lambda report: None)
                self._children.append(child)
                count = min(_PER_PROCESS, self._streams - first)
                options = {"url": self._url, "clip": str(self._clip), "first": first}
                await child.start({**options, "count": count})
            await asyncio.gather(*(child.wait_for("publishing") for child in self._children))
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stop()

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
