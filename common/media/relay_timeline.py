"""From the times of a relay to an edge's own 64-bit clock of the stream, in ms.

The origin has put the times in order, so they are kept exactly: each publish session is moved as a
whole, by one offset, which stays for as long as the session is the one that viewers see, whatever
way it comes. Viewers never see time go back.

A source of our own names the session and says by how much its clock differs from the origin's (see
`onHeadwaterSource` in ARCHITECTURE.md). So the same session is known again over any way, its times
fall on the same place, and what viewers have already is dropped: a way begins with its cached GOP,
most of which has come before.

How repeats are told. All ways bring the packets of a session in the same order, each from some
keyframe on. So if viewers have the first one, all that comes up to the last one they have is a
repeat, and nothing behind it is. Packets of the same time in its track are told apart by their
ends: several may share it, and the way before may have been cut between them.
"""

from dataclasses import dataclass
from typing import Final

from common.media.packet import Role
from common.media.recent import ResumePoint
from common.media.timeline import CODED, FORWARD_JUMP_MS, FRAME_MS, HALF, SAME_CLOCK_MS, distance
from common.rtmp.message import TIMESTAMP_MASK, MessageType

SESSION_GAP_MS: Final = 3_600_000
"""A session that goes on further away than this is not believed to be the same: no grace is as
long, and a step back by days would drop all that comes."""

_DATA: Final = int(MessageType.DATA_AMF0)  # the key of data, which has no tracks

_FINGERPRINT_BYTES: Final = 32
_MAX_FINGERPRINTS: Final = 64
"""Of one time in one track: no encoder comes near it, and a peer must not fill memory."""


@dataclass(slots=True)
class _Track:
    """One track of the session in use, on our clock."""

    mapped: int  # the latest time
    out: int  # the latest time given out: never goes back, where a stranger's `mapped` may
    end: bytes  # of a packet of that time: there is one at least …
    others: tuple[bytes, ...] = ()  # … and of what else came with it, which is seldom

    def note(self, mapped: int, end: bytes) -> int:
        """Take a packet that is new; return its time."""
        if mapped > self.mapped:
            self.mapped = mapped
            self.end = end
            self.others = ()
            if mapped > self.out:
                self.out = mapped
        elif mapped == self.mapped and len(self.others) < _MAX_FINGERPRINTS - 1:
            self.others += (end,)
        return self.out

    def has(self, mapped: int, end: bytes) -> bool:
        """Tell whether this packet has come."""
        return mapped < self.mapped or (mapped == self.mapped and end in self.latest)

    @property
    def latest(self) -> list[bytes]:
        """The ends of all packets of the latest time."""
        return [self.end, *self.others]


@dataclass(slots=True)
class _CatchUp:
    """A way that has begun, and may be at what viewers have already."""

    key: int  # the track of the last packet that viewers have …
    mapped: int  # … its time …
    missing: list[bytes]  # … and the packets of this time that the way has not brought
    behind: bool = False  # whether it is known to bring repeats


class RelayTimeline:
    """The clock of a stream that is pulled from another node.

    Say what comes with `begin_source` for each source that names itself, with `begin_session` for
    each pull of one that does not.
    """

    __slots__ = (
        "_anchored",
        "_base",
        "_catch_up",
        "_continues",
        "_floors",
        "_gave",
        "_last_coded",
        "_last_key",
        "_mapped",
        "_offset",
        "_session",
        "_start",
        "_tracks",
        "_wire",
        "last_out",
    )

    def __init__(self) -> None:
        self._session: int | None = None  # None: of a source that does not name itself
        self._offset = 0  # of the source's clock to the origin's
        self._base: int | None = None  # where the session starts; None: where its source says
        self._start = 0  # where it did start
        self._continues = False
        self._anchored = False
        self._gave = False  # whether anything was given out
        self._catch_up: _CatchUp | None = None  # None: all that comes is new
        self._wire = 0  # the session's last time as it came …
        self._mapped = 0  # … and on our clock
        self._tracks: dict[int, _Track] = {}
        self._last_key = 0  # of the last packet given out; without meaning when there are no tracks
        self._last_coded = 0  # of the last coded one, likewise
        self._floors: dict[int, int] = {}  # by track: the last time of the sessions before
        self.last_out = 0
        """The latest time given out, in any track."""

    @property
    def offset(self) -> int:
        """Our clock minus the origin's, modulo 2^32, in a session that has a name."""
        return (self._mapped - self._wire + self._offset) & TIMESTAMP_MASK

    @property
    def point(self) -> ResumePoint | None:
        """Up to where viewers have the session; None for one without a name, or before it began."""
        last = self._tracks.get(self._last_coded)
        if self._session is None or last is None:
            return None
        return ResumePoint(
            session=self._session,
            type_id=self._last_coded & 0xFF,
            track=self._last_coded >> 8,
            time_ms=(last.mapped - self.offset) & TIMESTAMP_MASK,
        )

    @property
    def next_start(self) -> int:
        """Where a new session would begin: one frame after all that was given out."""
        return self.last_out + FRAME_MS if self._gave else 0

    def begin_source(self, session: int, offset: int, wire: int) -> int | None:
        """Go on with publish session ``session``, from about ``wire`` on.

        ``offset`` is the source's clock minus the origin's, modulo 2^32. Returns None when viewers
        have this session already: then times go on exactly, `stamp` drops what viewers have, and
        the caller keeps its caches likewise. Else returns where on our clock the session begins.
        """
        if session == self._session:
            last = (self._wire - self._offset + offset) & TIMESTAMP_MASK
            gap = self._mapped + distance(wire, last) - max(self.last_out, self._start)
            if abs(gap) <= SESSION_GAP_MS:
                self._wire = last
                self._offset = offset
                self._expect_repeats()
                return None
        self._session = session
        self._offset = offset
        self._continues = False
        self._start_at(wire, self.next_start if self._gave else (wire - offset) & TIMESTAMP_MASK)
        return self._start

    def begin_session(self, *, continues: bool) -> None:
        """Prepare for a pull of a source that does not name itself.

        ``continues`` says that it has the same clock as before: the same publish session (equal
        epochs), pulled again after a loss. Then times go on as they are, and `stamp` drops what
        viewers have; the caller keeps its own caches likewise.
        """
        # A pull that brought nothing has shown no clock that another could share.
        shown = self._anchored and self._session is None
        self._continues = continues and self._gave and (shown or self._continues)
        self._session = None
        self._offset = 0
        self._anchored = False
        self._base = self.next_start if self._gave else None
        if self._continues:
            self._expect_repeats()

    def stamp(
        self, type_id: int, wire: int, role: Role, track: int = 0, payload: bytes = b""
    ) -> int | None:
        """Return the time of a packet that came with ``wire``; None: viewers have it, drop it."""
        key = track << 8 | type_id  # cheaper than a tuple: once per message
        if role not in CODED:
            return self._stamp_uncoded(key, wire, role, payload)
        if not self._anchored:
            self._anchor(wire)
        # `distance`, spelled out: once per message.
        self._mapped = mapped = self._mapped + ((wire - self._wire + HALF) & TIMESTAMP_MASK) - HALF
        self._wire = wire
        end = payload[-_FINGERPRINT_BYTES:]
        if self._catch_up is not None and self._is_repeat(self._catch_up, key, mapped, end):
            return None
        state = self._tracks.get(key)
        if state is not None and mapped > state.out:  # as nearly always: time goes on
            state.mapped = state.out = out = mapped
            state.end = end
            state.others = ()
        else:
            taken = self._take(key, mapped, end)
            if taken is None:
                return None
            out = taken
        self._gave = True
        self._last_key = self._last_coded = key
        if out > self.last_out:
            self.last_out = out
        return out

    def _anchor(self, wire: int) -> None:
        """Find the place of a source that does not name itself, by its first coded packet."""
        self._anchored = True
        gap = self._mapped + distance(wire, self._wire) - self.last_out
        if not self._continues or abs(gap) > FORWARD_JUMP_MS:  # not the same clock after all
            self._start_at(wire, wire if self._base is None else self._base)

    def _start_at(self, wire: int, start: int) -> None:
        self._anchored = True
        self._wire = wire
        self._start = self._mapped = start
        self._catch_up = None
        for key, state in self._tracks.items():
            if key != _DATA:
                self._floors[key] = state.out
        self._tracks.clear()

    def _expect_repeats(self) -> None:
        last = self._tracks.get(self._last_key)
        if last is not None:
            self._catch_up = _CatchUp(self._last_key, last.mapped, last.latest)

    def _is_repeat(self, way: _CatchUp, key: int, mapped: int, end: bytes) -> bool:
        """Tell whether viewers have a packet; the first that they have not ends the catching up."""
        if not way.behind:
            track = self._tracks.get(key)
            if track is None or not track.has(mapped, end):
                self._catch_up = None  # the way begins behind all that viewers have
                return False
            way.behind = True
        if key == way.key and mapped == way.mapped and end in way.missing:
            way.missing.remove(end)
            if not way.missing:
                self._catch_up = None
            return True
        # Should the last packet be missing on this way, its track tells, or else all others.
        within = SAME_CLOCK_MS if key != way.key or key == _DATA else -1
        if mapped <= way.mapped + within:
            return True
        self._catch_up = None
        return False

    def _take(self, key: int, mapped: int, end: bytes) -> int | None:
        """Note a packet that is new; return its time, or None when it cannot be shown."""
        state = self._tracks.get(key)
        if state is not None:
            return state.note(mapped, end)
        floor = self._floors.get(key, 0)
        if mapped < floor and self._session is not None:
            # Sound of the first moment that reaches back behind the session before. Moved, it would
            # come to our own relays at another time than by another way, and not be known again.
            return None
        out = max(mapped, floor)
        self._tracks[key] = _Track(mapped, out, end)
        return out

    def _stamp_uncoded(self, key: int, wire: int, role: Role, payload: bytes) -> int | None:
        if not self._anchored:
            # The prelude does not anchor; its time is that of what comes next.
            if self._base is None:
                return wire
            return self.last_out if self._continues else self._base
        # It does not move the clock either: servers send metadata with time 0.
        mapped = self._mapped + distance(wire, self._wire)
        latest = max(self.last_out, self._start)
        is_odd = abs(mapped - latest) > SAME_CLOCK_MS
        if role is Role.DATA:
            return self._stamp_data(mapped, payload[-_FINGERPRINT_BYTES:], latest, is_odd=is_odd)
        if is_odd:
            return latest
        if self._catch_up is not None:
            return max(mapped, self.last_out)
        state = self._tracks.get(key)
        return max(mapped, state.out if state else self._floors.get(key, 0))

    def _stamp_data(self, mapped: int, end: bytes, latest: int, *, is_odd: bool) -> int | None:
        """Return the time of other data. It may go back: that of data orders nothing."""
        way = self._catch_up
        if way is not None and way.behind and self._is_repeat(way, _DATA, mapped, end):
            return None
        if is_odd:
            return latest
        state = self._tracks.get(_DATA)
        if state is not None and state.mapped == mapped:
            state.note(mapped, end)
        else:
            self._tracks[_DATA] = _Track(mapped, mapped, end)
        self._last_key = _DATA
        return mapped
