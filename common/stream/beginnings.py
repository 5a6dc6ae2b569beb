"""What viewers begin with: headers, the cached GOP, or what a relay has missed.

All of it ends where the last flush ended (the *mark*): the next one brings what follows.
"""

from typing import Protocol

from common.media.gop import GopCache, HeaderCache
from common.media.packet import Packet
from common.media.recent import RecentPackets, ResumePoint
from common.stream.blocks import Block, OutputSpec
from common.stream.source import StreamSource


class Source(Protocol):
    """The part of a stream that its outputs look at."""

    headers: HeaderCache
    gop: GopCache
    recent: RecentPackets
    header_version: int
    source: StreamSource | None

    @property
    def has_video(self) -> bool:
        """Whether viewers must start at a keyframe."""
        ...


class Beginnings:
    """The beginnings of one serialisation of a stream."""

    __slots__ = ("_mark", "_recent_mark", "_spec", "_start_block", "_start_version", "_stream")

    def __init__(self, stream: Source, spec: OutputSpec) -> None:
        self._stream = stream
        self._spec = spec
        self._start_version = -1  # of the headers in the start block
        self.flushed()

    def flushed(self) -> None:
        """Take note that all that came so far has been written."""
        self._mark = self._gop_position()
        self._recent_mark = self._stream.recent.count
        self._start_block: Block | None = None  # of those who have joined since

    def from_cache(self) -> Block | None:
        """Return the headers and the GOP up to the last flush; None when that is not cached."""
        generation, count = self._mark
        gop = self._stream.gop
        # A keyframe that is still pending began a new GOP: the joiner starts with that flush.
        if generation != gop.generation or not count or not gop.packets:
            return None
        # Viewers that join between two flushes start with the same bytes: made once, shared.
        version = self._stream.header_version
        if self._start_block is None or version != self._start_version:
            cached = gop.packets[:count]
            self._start_block = self.header_block(cached[0].timestamp) + self._spec.block(cached)
            self._start_version = version
        return self._start_block

    def after(self, since: ResumePoint) -> Block | None:
        """Return what came between ``since`` and the last flush; None when that is not here."""
        stream = self._stream
        source = stream.source
        if source is None or source.session != since.session:
            return None
        packets = stream.recent.since(since, source.offset_ms)
        if packets is None:
            return None
        at = packets[0].timestamp
        if since.whole_gop:
            head = self.header_block(at)
        else:  # it has the headers of that place, and those that follow are in theirs
            head = self._spec.block([source.to_packet(at)])
        pending = stream.recent.count - self._recent_mark
        return head + self._spec.block(packets[: max(len(packets) - pending, 0)])

    def header_block(self, timestamp: int) -> Block:
        """Return what `headers` gives, serialised at ``timestamp``."""
        return self._spec.block(self.headers(timestamp), timestamp)

    def headers(self, timestamp: int) -> list[Packet]:
        """Return what comes before the first frame; a relay is told the source first."""
        packets = self._stream.headers.for_joiner()
        if self._spec.relay and self._stream.source is not None:
            packets.insert(0, self._stream.source.to_packet(timestamp))
        return packets

    def _gop_position(self) -> tuple[int, int]:
        gop = self._stream.gop
        return gop.generation, len(gop.packets)
