"""The newest packets of a stream, for relays that were cut and come back.

A viewer that joins needs the current GOP and no more. A relay that comes back wants what was sent
since it was cut: when that happened just before a keyframe, it belongs to the GOP before.

How it is bounded. Packets are kept in two sections, the current one and the former. A keyframe
begins a new one, unless the current one is short yet, and so does the limit: half of what a GOP may
have. So at least one section's worth is always here, and never more than the limits allow. What is
of the current GOP is shared with the GOP cache, packet by packet.
"""

from dataclasses import dataclass
from typing import Final

from common.media.packet import Packet, Role
from common.media.timeline import CODED
from common.rtmp.message import TIMESTAMP_MASK

_KEYFRAME: Final = Role.KEYFRAME

MIN_SECTION_MS: Final = 1_900
"""A section is no shorter, or the cut of a relay could outlast two GOPs of streams that consist of
keyframes; the usual GOP of 2 s makes one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumePoint:
    """Up to where somebody has a publish session: to a coded packet, which is named.

    ``time_ms`` is on the clock of the session's origin, modulo 2^32. With ``whole_gop`` it is not
    the asker who has it but somebody behind: the asker has nothing, and must start at a keyframe.
    """

    session: int
    type_id: int
    track: int
    time_ms: int
    whole_gop: bool = False


class RecentPackets:
    """What a stream has sent to its relays of late, headers included, without a gap."""

    __slots__ = (
        "_began_at",
        "_bytes",
        "_current",
        "_former",
        "_headers_changed_at",
        "_max_bytes",
        "_max_ms",
        "_max_packets",
        "count",
    )

    def __init__(self, max_bytes: int, max_seconds: float, max_packets: int) -> None:
        # Of each of the two sections.
        self._max_bytes = max_bytes // 2
        self._max_ms = max_seconds * 1000 / 2
        self._max_packets = max_packets // 2
        self._former: list[Packet] = []
        self._current: list[Packet] = []
        self._began_at = 0
        self._bytes = 0  # of the current section
        self._headers_changed_at = 0
        self.count = 0
        """How many packets have come, those included that are not kept any more."""

    def add(self, packet: Packet) -> None:
        """Take the next packet of the stream."""
        self.count += 1
        current = self._current
        age = packet.timestamp - self._began_at
        self._bytes += len(packet.payload)
        if (
            self._bytes > self._max_bytes
            or age > self._max_ms
            or (packet.role is _KEYFRAME and age >= MIN_SECTION_MS)
            or len(current) >= self._max_packets
            or not current
        ):
            self._begin_section(packet)
        else:
            current.append(packet)

    def _begin_section(self, packet: Packet) -> None:
        size = len(packet.payload)
        if size > self._max_bytes or not self._max_packets:
            self.clear(packet.timestamp)  # a gap would be taken for all there was
            return
        if self._current:
            self._former = self._current
        self._current = [packet]
        self._began_at = packet.timestamp
        self._bytes = size

    def clear(self, at: int = 0) -> None:
        """Forget all: what follows is of another session, which begins about ``at``."""
        self._former = []
        self._current = []
        self._began_at = at

    @property
    def latest(self) -> int:
        """The time of the newest packet, or where the session begins."""
        return self._current[-1].timestamp if self._current else self._began_at

    def headers_changed(self) -> None:
        """Take note that nobody can start before the next packet with the headers of today."""
        self._headers_changed_at = self.count

    def since(self, point: ResumePoint, offset_ms: int) -> list[Packet] | None:
        """Return all that has come since ``point``, its own packet first; None when it is not here.

        That packet lets the asker see where it is; it drops what it has. ``offset_ms`` is as in
        `StreamSource`. For a whole GOP its keyframe comes first.
        """
        packets = self._former + self._current
        index = _find(packets, point, (point.time_ms + offset_ms) & TIMESTAMP_MASK)
        if index is None:
            return None
        return self._whole_gop(packets, index) if point.whole_gop else packets[index:]

    def _whole_gop(self, packets: list[Packet], index: int) -> list[Packet] | None:
        """Return ``packets`` from the last keyframe on that is not after ``index``."""
        for start in range(index, -1, -1):
            if packets[start].role is Role.KEYFRAME:
                had_come = self.count - len(packets) + start
                return packets[start:] if had_come >= self._headers_changed_at else None
        if any(each.role is Role.FRAME for each in packets):
            return None
        return packets[index:]  # audio only: one place is as good as another


def _find(packets: list[Packet], point: ResumePoint, time: int) -> int | None:
    for index, each in enumerate(packets):
        if (
            each.timestamp & TIMESTAMP_MASK == time
            and each.type_id == point.type_id
            and each.track == point.track
            and each.role in CODED
        ):
            return index  # the first of this time: its track never goes back
    return None
