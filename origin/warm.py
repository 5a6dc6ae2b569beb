"""What a standby sends, kept warm: its codec headers and current GOP, served to nobody."""

from dataclasses import replace

from common.media.packet import Role
from common.media.timeline import Timeline
from common.rtmp.message import TIMESTAMP_MASK
from common.stream.ingest import StreamClock
from common.stream.live import LiveStream


class ContinuedClock:
    """The clock of a standby that was promoted: its own, put on the clock of the stream.

    Its own has been running for as long as it stood by. The stream's takes what comes out of it as
    it takes the times of any publish session: the first one begins where the stream has ended.
    """

    __slots__ = ("_own", "_stream")

    def __init__(self, own: StreamClock, stream: StreamClock) -> None:
        self._own = own
        self._stream = stream

    def stamp(
        self, type_id: int, wire: int, role: Role, track: int = 0, payload: bytes = b""
    ) -> int | None:
        """Return the time on the stream's clock of a packet that came with ``wire``."""
        own = self._own.stamp(type_id, wire, role, track, payload)
        if own is None:
            return None
        return self._stream.stamp(type_id, own & TIMESTAMP_MASK, role, track, payload)


class WarmStream:
    """A stream as its standby sends it, on a clock of its own."""

    __slots__ = ("live", "timeline")

    def __init__(self, live: LiveStream) -> None:
        self.live = live
        self.timeline = Timeline()

    def pour(self, live: LiveStream, timeline: StreamClock) -> StreamClock:
        """Begin ``live`` with what is cached here; return the clock for what follows it."""
        for packet in (*self.live.headers.for_joiner(), *self.live.gop.packets):
            wire = packet.timestamp & TIMESTAMP_MASK
            timestamp = timeline.stamp(
                packet.type_id, wire, packet.role, packet.track, packet.payload
            )
            if timestamp is not None:
                live.push(replace(packet, timestamp=timestamp))
        return ContinuedClock(self.timeline, timeline)
