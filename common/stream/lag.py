"""How far behind a viewer is, without a clock per message."""

from collections import deque


class LagWindow:
    """What an output flushed within the lag limit.

    A viewer with more unsent bytes than that is further behind than the limit.
    """

    __slots__ = ("_flushes", "_limit_s", "bytes")

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._flushes: deque[tuple[float, int]] = deque()  # (time, bytes)
        self.bytes = 0

    def note_flushed(self, size: int, now: float) -> None:
        """Take note of a flush, and forget those that are too old."""
        flushes = self._flushes
        flushes.append((now, size))
        self.bytes += size
        horizon = now - self._limit_s
        while flushes[0][0] < horizon:
            self.bytes -= flushes.popleft()[1]

    def lag_s(self, unsent_bytes: int, now: float) -> float:
        """Return about how many seconds of the stream ``unsent_bytes`` are."""
        if not self.bytes:
            return 0.0
        span = max(now - self._flushes[0][0], 0.001)
        return span * unsent_bytes / self.bytes
