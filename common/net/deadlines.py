"""One timer for the deadlines of all connections of a worker.

A timer each would cost every idle viewer a timer object and the loop a timer heap of thousands.
Deadlines are seconds long, so a coarse tick over one heap serves them all. A deadline that moves
later, as most do with each message, is noticed only when its old time comes, and costs nothing;
one that moves earlier is watched anew. The heap holds numbers, not waiters, so that a connection
that is gone leaves nothing behind but two of them, until its time would have come.
"""

import asyncio
import math
from collections.abc import Callable
from heapq import heappop, heappush
from time import monotonic
from typing import Final, Protocol

TICK_S: Final = 0.1
NEVER: Final = math.inf


class Waiter(Protocol):
    """Something with a deadline that may move.

    ``watched_at`` (at first `NEVER`) and ``watch_id`` (at first 0) are kept here for `Deadlines`.
    """

    watched_at: float
    watch_id: int

    def check_deadline(self, now: float) -> float | None:
        """Act on a deadline that has passed; return the next one, None when there is none."""
        ...


class Deadlines:
    """Calls `Waiter.check_deadline` when it is time."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, now: Callable[[], float] = monotonic
    ) -> None:
        self._loop = loop
        self._now = now
        self._heap: list[tuple[float, int]] = []
        self._waiters: dict[int, Waiter] = {}
        self._serial = 0
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, waiter: Waiter, deadline: float | None) -> None:
        """Call ``waiter`` at ``deadline``, or earlier where it is watched already."""
        if deadline is None or deadline >= waiter.watched_at:
            return
        self.forget(waiter)
        self._serial += 1
        waiter.watched_at = deadline
        waiter.watch_id = self._serial
        self._waiters[self._serial] = waiter
        heappush(self._heap, (deadline, self._serial))
        if self._timer is None:
            self._timer = self._loop.call_later(TICK_S, self._tick)

    def forget(self, waiter: Waiter) -> None:
        """Do not call ``waiter`` any more; harmless when it is not watched."""
        self._waiters.pop(waiter.watch_id, None)
        waiter.watched_at = NEVER

    def close(self) -> None:
        """Stop; nobody is called any more."""
        self._heap.clear()
        self._waiters.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK_S, self._tick) if self._heap else None
        now = self._now()
        while self._heap and self._heap[0][0] <= now:
            waiter = self._waiters.pop(heappop(self._heap)[1], None)
            if waiter is not None:
                waiter.watched_at = NEVER
                self.watch(waiter, waiter.check_deadline(now))
