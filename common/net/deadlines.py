"""One timer for the deadlines of all connections of a worker.

A timer each would cost every idle viewer a timer object and the loop a timer heap of thousands.
Deadlines are seconds long, so a coarse tick over one heap serves them all. An entry is looked at
when its time comes; a deadline that has moved meanwhile is put back, so that moving one costs
nothing.
"""

import asyncio
from heapq import heappop, heappush
from typing import Final, Protocol

TICK_S: Final = 0.1


class Waiter(Protocol):
    """Something with a deadline that may move."""

    def check_deadline(self, now: float) -> float | None:
        """Act on a deadline that has passed; return the next one, None when there is none."""
        ...


class Deadlines:
    """Calls `Waiter.check_deadline` when it is time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._heap: list[tuple[float, int, Waiter]] = []
        self._serial = 0
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, waiter: Waiter, deadline: float | None) -> None:
        """Call ``waiter`` at ``deadline``; once per waiter, it stays watched until it has none."""
        if deadline is None:
            return
        self._serial += 1  # never compared further: waiters have no order
        heappush(self._heap, (deadline, self._serial, waiter))
        if self._timer is None:
            self._timer = self._loop.call_later(TICK_S, self._tick)

    def close(self) -> None:
        """Stop; nobody is called any more."""
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK_S, self._tick) if self._heap else None
        now = self._loop.time()
        while self._heap and self._heap[0][0] <= now:
            _, _, waiter = heappop(self._heap)
            self.watch(waiter, waiter.check_deadline(now))
