"""Time as a thing that is passed in, so that tests need not wait."""

import time
from typing import Protocol


class Clock(Protocol):
    """Where asyncio code takes its time from. Sans-IO code takes ``now`` as an argument."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; comparable within one process only."""
        ...

    def wall(self) -> float:
        """Unix seconds, to show to people and to put in records; never compared across hosts."""
        ...


class SystemClock:
    """The machine's clocks."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)


class ManualClock:
    """A clock that stands still until told to move."""

    def __init__(self, start: float = 1000.0) -> None:
        self.now = start

    def monotonic(self) -> float:
        """Return the time set last."""
        return self.now

    def wall(self) -> float:
        """Return the same time: tests need only one."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move forward by ``seconds``."""
        self.now += seconds
