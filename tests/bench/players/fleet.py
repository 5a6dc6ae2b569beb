"""Crowds in several processes, as one."""

import asyncio
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any

from ..child import FINISH, MEASURE, Child, Report
from ..load import Met

OnPlaying = Callable[[int], None]


class Fleet:
    """Players of one server for the length of an ``async with`` block.

    ``on_playing`` is told how many play, whenever that changes.
    """

    def __init__(self, on_playing: OnPlaying = lambda count: None) -> None:
        self._on_playing = on_playing
        self._children: list[Child] = []
        self._playing: dict[int, int] = {}

    async def __aenter__(self) -> "Fleet":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.gather(*(child.stop() for child in self._children))

    async def join(self, processes: int, count: int, rate: float, **options: Any) -> int:
        """Let ``count`` players join, from so many processes; return how many play then."""
        processes = min(processes, max(count, 1))
        began = len(self._children)
        first = 0
        for number in range(processes):
            share = count // processes + (number < count % processes)
            at = len(self._children)
            child = Child("players", partial(self._tick, at))
            self._children.append(child)
            await child.start({"count": share, "first": first, "rate": rate / processes, **options})
            first += share
        reports = await asyncio.gather(
            *(child.wait_for("playing") for child in self._children[began:])
        )
        for at, report in enumerate(reports, began):
            self._note(at, report["count"])
        return sum(report["count"] for report in reports)

    def measure(self) -> None:
        """Begin to count."""
        for child in self._children:
            child.order(MEASURE)

    async def finish(self) -> Met:
        """Let all leave; return what they met since `measure`."""
        for child in self._children:
            child.order(FINISH)
        reports = await asyncio.gather(*(child.wait_for("result") for child in self._children))
        return sum(map(Met.from_report, reports), Met())

    def _tick(self, at: int, report: Report) -> None:
        self._note(at, report["playing"])

    def _note(self, at: int, playing: int) -> None:
        if self._playing.get(at) != playing:
            self._playing[at] = playing
            self._on_playing(sum(self._playing.values()))
