"""How far behind a viewer is, without a clock per message."""

from collections import deque
from typing import Final

_PARTS: Final = 16
"""The limit is kept in so many parts: there is no need to know of each flush."""


class LagWindow:
    """What an output flushed within the lag limit, or up to two parts of it longer.

    A viewer with more unsent bytes than that is further behind than the limit.
    """

    __slots__ = ("_began_at", "_limit_s", "_part_s", "_parts", "_size", "bytes")

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._part_s = limit_s / _PARTS
        self._parts: deque[tuple[float, int]] = deque()  # (when it began, bytes), oldest first
        self._began_at = 0.0  # the newest part …
        self._size = 0  # … which is not among them
        self.bytes = 0

    def note_flushed(self, size: int, now: float) -> None:
        """Take note of a flush, and forget those that are too old."""
        self.bytes += size
        if now - self._began_at < self._part_s:
            self._size += size
        else:
            self._begin_part(size, now)

    def _begin_part(self, size: int, now: float) -> None:
        parts = self._parts
        if self._size:
            parts.append((self._began_at, self._size))
        self._began_at = now
        self._size = size
        horizon = now - self._limit_s - self._part_s
        while parts and parts[0][0] < horizon:
            self.bytes -= parts.popleft()[1]

    def lag_s(self, unsent_bytes: int, now: float) -> float:
        """Return about how many seconds of the stream ``unsent_bytes`` are."""
        if not self.bytes:
            return 0.0
        oldest = self._parts[0][0] if self._parts else self._began_at
        span = max(now - oldest, 0.001)
        return span * unsent_bytes / self.bytes
