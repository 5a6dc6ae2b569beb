"""The streams of an origin worker: who publishes each, and what is kept when he leaves."""

import asyncio
from collections.abc import Iterable
from typing import Protocol

from common.config.model import Settings
from common.ids import StreamKey
from common.media.timeline import Timeline
from common.stream.flusher import Flusher
from common.stream.live import LiveStream
from common.stream.source import new_source
from origin.warm import WarmStream


class Publisher(Protocol):
    """Whoever publishes a stream here."""

    @property
    def key(self) -> StreamKey:
        """The stream that is published."""
        ...

    def evict(self, reason: str) -> None:
        """Tell the encoder that the stream is not its own any more, and close."""
        ...


class HeldStream:
    """A stream, its clock, and its publisher while it has one."""

    __slots__ = ("expiry", "live", "publisher", "timeline")

    def __init__(self, live: LiveStream) -> None:
        self.live = live
        self.timeline = Timeline()
        self.publisher: Publisher | None = None
        self.expiry: asyncio.TimerHandle | None = None


class Hub:
    """All streams of a worker."""

    def __init__(
        self, settings: Settings, flusher: Flusher, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._gop = settings.gop
        self._grace_s = settings.publish.grace_s
        self._flusher = flusher
        self._loop = loop
        self._streams: dict[StreamKey, HeldStream] = {}

    @property
    def streams(self) -> Iterable[LiveStream]:
        """All streams, those included whose publisher may come back."""
        return [held.live for held in self._streams.values()]

    @property
    def publishers(self) -> int:
        """Streams that somebody publishes."""
        return sum(held.publisher is not None for held in self._streams.values())

    def find(self, key: StreamKey) -> LiveStream | None:
        """Return a stream that is being published here."""
        held = self._streams.get(key)
        return held.live if held is not None and held.publisher is not None else None

    def begin(self, publisher: Publisher) -> HeldStream:
        """Make ``publisher`` the one of its stream; an earlier one is told and closed.

        The clock goes on where the last publisher of the stream left it.
        """
        key = publisher.key
        held = self._streams.get(key)
        if held is None:
            held = self._streams[key] = HeldStream(self._new_stream(key))
        if held.expiry is not None:
            held.expiry.cancel()
            held.expiry = None
        former, held.publisher = held.publisher, publisher
        held.live.begin_session(new_source(), held.timeline.begin_session())
        if former is not None:
            former.evict("taken_over")
        return held

    def warm(self, key: StreamKey) -> WarmStream:
        """Return a stream for a standby to feed, which nobody finds here."""
        return WarmStream(self._new_stream(key))

    def end(self, publisher: Publisher, reason: str, *, has_heir: bool = False) -> None:
        """Take note that ``publisher`` is gone: relays are told, the clock is kept for a while.

        With an heir, a standby of this worker, relays wait for it: `begin` or `disinherit` follows.
        """
        held = self._streams.get(publisher.key)
        if held is None or held.publisher is not publisher:
            return  # it was taken over
        held.publisher = None
        if not has_heir:
            held.live.end(reason)
        held.expiry = self._loop.call_later(self._grace_s, self._streams.pop, publisher.key, None)

    def disinherit(self, key: StreamKey) -> None:
        """Take note that no standby of this worker takes the stream: its relays are told."""
        held = self._streams.get(key)
        if held is not None and held.publisher is None:
            held.live.end("not_inherited")

    def _new_stream(self, key: StreamKey) -> LiveStream:
        return LiveStream(key, self._gop, self._flusher)
