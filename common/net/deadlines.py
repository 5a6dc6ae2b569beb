"""One timer for the deadlines of all connections of a worker.

A timer each would cost every idle viewer a timer object and the loop a timer heap of thousands.
Deadlines are seconds long, so a coarse tick serves them all: it looks at that of each connection,
which is a comparison of two numbers, and keeps nothing of it but its place in a set. A deadline
that moves later, as most do with each message, is noticed only when its old time comes, and costs
nothing; one that moves earlier is watched anew.
"""

import asyncio
import math
from collections.abc import Callable
from time import monotonic
from typing import Final, Protocol

TICK_S: Final = 0.25
"""With ten thousand connections the looking takes a thousandth of a core."""

NEVER: Final = math.inf


class Waiter(Protocol):
    """Something with a deadline that may move.

    ``watched_at`` (at first `NEVER`) is kept here for `Deadlines`.
    """

    watched_at: float

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
        self._waiters: set[Waiter] = set()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, waiter: Waiter, deadline: float | None) -> None:
        """Call ``waiter`` at ``deadline``, or earlier where it is watched already."""
        if deadline is None or deadline >= waiter.watched_at:
            return
        waiter.watched_at = deadline
        self._waiters.add(waiter)
        if self._timer is None:
            self._timer = self._loop.call_later(TICK_S, self._tick)

    def forget(self, waiter: Waiter) -> None:
        """Do not call ``waiter`` any more; harmless when it is not watched."""
        self._waiters.discard(waiter)
        waiter.watched_at = NEVER

    def close(self) -> None:
        """Stop; nobody is called any more."""
        self._waiters.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK_S, self._tick) if self._waiters else None
        now = self._now()
        for waiter in [each for each in self._waiters if each.watched_at <= now]:
            if waiter in self._waiters:  # not forgotten by what one before it did
                self.forget(waiter)
                self.watch(waiter, waiter.check_deadline(now))
