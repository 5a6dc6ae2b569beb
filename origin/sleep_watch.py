"""Noticing that the worker has slept: it was stopped, or its loop was stuck.

What a lease is worth after that, only the table can say. The check works without the timer: after
a stop, sockets are often served before timers are.
"""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

TICKS_PER_LIMIT: Final = 10


class SleepWatch:
    """Ticks, and misses its ticks. ``on_waking`` is called when the sleep was over ``limit_s``."""

    def __init__(
        self, limit_s: float, on_waking: Callable[[], None], now: Callable[[], float] = monotonic
    ) -> None:
        self._limit_s = limit_s
        self._on_waking = on_waking
        self._now = now
        self._ticked_at = now()
        self._woke_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to tick."""
        self.tick()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._limit_s / TICKS_PER_LIMIT, self.start)

    def close(self) -> None:
        """Stop ticking."""
        if self._timer is not None:
            self._timer.cancel()

    @property
    def overslept(self) -> bool:
        """Whether there was a sleep since which nobody has said `confirm`."""
        if self._now() - self._ticked_at > self._limit_s:
            self.tick()
        return self._woke_at is not None

    def tick(self) -> None:
        """Show that the loop turns."""
        now = self._now()
        slept_s = now - self._ticked_at
        self._ticked_at = now
        if slept_s > self._limit_s:
            self._woke_at = now
            self._on_waking()

    def confirm(self, asked_at: float) -> None:
        """Forget the sleep when it was over at ``asked_at``; an older question proves nothing."""
        if self.overslept and self._woke_at is not None and asked_at >= self._woke_at:
            self._woke_at = None
