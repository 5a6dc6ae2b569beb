"""From the 32-bit times of a source to a stream's own 64-bit clock, in ms.

`Timeline` serves an origin, whose publishers' clocks may do anything; an edge, whose source has put
them in order already, has `common.media.relay_timeline`. Both hold through changes of the source:
viewers never see time go back.

How `Timeline` works. For each track it keeps the last time as it came (``wire``) and as it went
out (``mapped``); a packet is mapped by its distance to its own track's last one, modulo 2^32, so
all tracks of a publish session share one offset for as long as their clocks run, and A/V sync is
the publisher's, to the millisecond. Wrapping needs no care.

A step that no encoder makes on purpose is a jump. A track that jumps goes on one frame after
everything so far. A track that makes an odd step when another has jumped before to the same clock
(an encoder restarted on its connection, a source was switched) joins that clock instead: the
common offset has moved, and sync is exact again. The same rule brings a track home that jumped
alone, by a glitch.
"""

from dataclasses import dataclass
from typing import Final

from common.media.packet import Role
from common.rtmp.message import TIMESTAMP_MASK

FRAME_MS: Final = 40
"""One frame: what lies between the end of one clock and the start of the next."""

BACKWARD_STEP_MS: Final = 100
"""A shorter step back within a track is noise (rounding, DJI firmware): time stands still."""

BACKWARD_JUMP_MS: Final = 1_000
"""A longer step back within a track is a jump."""

FORWARD_JUMP_MS: Final = 30_000
"""A step further ahead of all tracks is a jump; less may be a pause, or a slide show."""

SAME_CLOCK_MS: Final = 5_000
"""Tracks of one clock are no further apart, even where video starts late (Dahua: 2 s)."""

HALF: Final = 1 << 31
"""Of the range of wire times: what is further ahead is behind."""

CODED: Final = frozenset({Role.KEYFRAME, Role.FRAME, Role.AUDIO})
"""Packets whose times are meant. Headers and metadata come with 0, or with a cached old time."""


def distance(wire: int, reference: int) -> int:
    """Return how far ``wire`` is ahead of ``reference``, modulo 2^32 [RTMP 1.0 §4]."""
    return ((wire - reference + HALF) & TIMESTAMP_MASK) - HALF


def _track_key(type_id: int, track: int) -> int:
    """Return one number for a kind and an E-RTMP track (-1 to 255): cheaper than a tuple."""
    return track << 8 | type_id


@dataclass(slots=True)
class _Track:
    wire: int  # the last time as it came
    mapped: int  # the same on the stream's clock
    out: int  # the last time given out: never goes back, where `mapped` may, a little


class Timeline:
    """The clock of a stream that is published here, over all its publish sessions.

    The first coded packet of a session anchors it: at 0 for a new stream, else one frame after
    the last time given out.
    """

    __slots__ = ("_base", "_tracks", "jumps", "last_out", "rejoins")

    def __init__(self) -> None:
        self._base = 0
        self._tracks: dict[int, _Track] = {}
        self.last_out = 0
        """The latest time given out, in any track."""
        self.jumps = 0
        """How often a track left the clock of all others, and was kept in step by force."""
        self.rejoins = 0
        """How often a track then joined the clock of another: after both jumped, or came home."""

    def begin_session(self) -> int:
        """Prepare for another publisher, or the same one anew, whose clock may start anywhere.

        Returns where on the stream's clock the session begins.
        """
        if self._tracks:
            self._tracks.clear()
            self._base = self.last_out = self.last_out + FRAME_MS
        return self._base

    def stamp(
        self, type_id: int, wire: int, role: Role, track: int = 0, payload: bytes = b""
    ) -> int:
        """Return the time on the stream's clock of a packet that came with ``wire``.

        Coded packets of a track never go back; order and distance between tracks stay as they
        came. Headers take the time of what comes next, other data its own where it makes sense.
        What the packet holds does not matter here: no publisher repeats himself.
        """
        if role not in CODED:
            return self._stamp_uncoded(type_id, wire, role, track)
        key = track << 8 | type_id  # _track_key, spelled out: once per message
        state = self._tracks.get(key)
        if state is None:
            return self._stamp_first(key, wire)
        step = ((wire - state.wire + HALF) & TIMESTAMP_MASK) - HALF
        mapped = state.mapped + step
        out = state.out
        if (
            step < -BACKWARD_STEP_MS
            or mapped < out - SAME_CLOCK_MS  # by many small steps back
            or mapped > self.last_out + SAME_CLOCK_MS
        ):
            mapped = self._odd_step(state, wire, step)
        state.wire = wire
        state.mapped = mapped
        if mapped > out:
            state.out = out = mapped
            if out > self.last_out:
                self.last_out = out
        return out

    def _stamp_first(self, key: int, wire: int) -> int:
        """Start a track: the first one anchors the session, the others follow its clock."""
        mapped = self._base
        if self._tracks:
            near = self._by_other_clocks(wire, self.last_out - SAME_CLOCK_MS)
            if near is None:
                self.jumps += 1  # a clock of its own: all that can be done is to start together
                near = self.last_out
            mapped = near
        out = max(mapped, self._base)
        self._tracks[key] = _Track(wire, mapped, out)
        self.last_out = max(self.last_out, out)
        return out

    def _odd_step(self, track: _Track, wire: int, step: int) -> int:
        """Decide what a step means: a move to another track's clock, a pause, or a jump."""
        mapped = track.mapped + step
        other = self._by_other_clocks(wire, track.out - BACKWARD_JUMP_MS, besides=track)
        if other is not None:
            self.rejoins += other != mapped
            return other
        earliest = track.out - SAME_CLOCK_MS
        if step >= -BACKWARD_JUMP_MS and earliest <= mapped <= self.last_out + FORWARD_JUMP_MS:
            return mapped
        self.jumps += 1
        return self.last_out + FRAME_MS

    def _by_other_clocks(
        self, wire: int, earliest: int, besides: _Track | None = None
    ) -> int | None:
        """Map ``wire`` by the clock of the first track by which it makes sense."""
        latest = self.last_out + SAME_CLOCK_MS
        for track in self._tracks.values():
            mapped = track.mapped + distance(wire, track.wire)
            if track is not besides and earliest <= mapped <= latest:
                return mapped
        return None

    def _stamp_uncoded(self, type_id: int, wire: int, role: Role, track: int) -> int:
        if role is Role.DATA:
            mapped = self._by_other_clocks(wire, self.last_out - SAME_CLOCK_MS)
            return self.last_out if mapped is None else max(mapped, self._base)
        own = self._tracks.get(_track_key(type_id, track))
        if own is not None:
            return own.out
        # Not later than anything that can follow in any track.
        return min((each.out for each in self._tracks.values()), default=self._base)
