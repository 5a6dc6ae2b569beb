"""How publishers are read that nobody watches: in larger bites.

An encoder sends thirty bursts a second, and each wakes the worker and is read by calls of its own.
Where a stream has viewers that is what keeps it live; where it has none, it is more than half of
what the publisher costs. There the kernel is asked (SO_RCVLOWAT) to keep what comes to itself until
it is worth a read. With the first viewer that ends, and what waits is read at once. An end of the
connection is told in any case.
"""

import socket
from typing import Final

from common.net.link import Link
from common.net.meters import PERIOD_S
from common.stream.live import LiveStream

MAX_BITE_BYTES: Final = 65_536
"""What one read takes from a socket; and little enough for any receive buffer."""

_MIN_BITE_BYTES: Final = 2_048
"""Less than this is not worth waiting for."""

_UNWATCHED_REVIEWS: Final = 2
"""Viewers that come and go, relays that are cut and come back, change nothing."""

_CHANGE: Final = 0.25
"""A bite stays as it is while the rate changes by no more than this."""


class Reading:
    """How one publisher is read."""

    __slots__ = ("_bite", "_link", "_live", "_received", "_unwatched")

    def __init__(self, link: Link, live: LiveStream) -> None:
        self._link = link
        self._live = live
        self._bite = 1
        self._received = link.core.bytes_received
        self._unwatched = 0  # reviews without a viewer
        live.on_first_viewer = self.read_at_once

    def feeds(self, live: LiveStream) -> None:
        """Take note that the publisher feeds another stream now: a standby was promoted."""
        self._live = live
        live.on_first_viewer = self.read_at_once
        self.read_at_once()

    def read_at_once(self) -> None:
        """Read all bytes as they come."""
        self._unwatched = 0
        self._wait_for(1)

    def review(self, bite_s: float) -> None:
        """Adapt to the rate of the last `PERIOD_S`: bites of ``bite_s`` while nobody watches."""
        received = self._link.core.bytes_received
        came = received - self._received
        self._received = received
        if self._live.viewers:
            return
        self._unwatched += 1
        if self._unwatched < _UNWATCHED_REVIEWS:
            return
        bite = min(int(came * bite_s / PERIOD_S), MAX_BITE_BYTES)
        # One that has become slow is read at once: what waits may be its last words.
        self._wait_for(bite if bite >= _MIN_BITE_BYTES else 1)

    def _wait_for(self, size: int) -> None:
        small_change = size > 1 and abs(size - self._bite) <= _CHANGE * self._bite
        if size == self._bite or small_change or self._link.transport.is_closing():
            return
        self._bite = size
        sock = self._link.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)


class Readings:
    """Of all publishers of a worker."""

    def __init__(self, bite_ms: float) -> None:
        self._bite_s = bite_ms / 1000
        self._readings: set[Reading] = set()

    def begin(self, link: Link, live: LiveStream) -> Reading:
        """Look after the reading of the publisher behind ``link``, who feeds ``live``."""
        reading = Reading(link, live)
        self._readings.add(reading)
        return reading

    def end(self, reading: Reading) -> None:
        """Forget a publisher who is gone, or whose connection is free for another stream."""
        self._readings.discard(reading)
        reading.read_at_once()

    def review(self) -> None:
        """Adapt to what has come since the last call, `PERIOD_S` ago."""
        for each in self._readings:
            each.review(self._bite_s)
