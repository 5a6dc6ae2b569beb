"""One serialisation of a stream, shared by all the viewers that take it.

Theory of operation. Each packet is put on ``_pending``. A flush makes what is pending into one
block of chunks and writes the same block to every viewer. A viewer is in one of three places:

* ``_ready``: takes every block; the flush hands it to the viewer's outlet, and does nothing else.
* ``_congested``: its transport holds unsent bytes; before each write its lag is checked.
* ``_waiting``: gets nothing until a keyframe. It has just come while no complete GOP was cached,
  or it was too far behind and has been skipped: then its buffer must drain as well.

Where there is no picture to wait for (audio only, or a viewer that wants no video) the next audio
is as good as a keyframe.

A viewer that starts, from the cache or at a keyframe, first gets the codec headers if those it
has are not the current ones. A relay gets them while it still waits: so it knows that the stream
is there, and its own viewers wait for the same keyframe. A start from the cache is aligned with the
flushes: the block holds the GOP up to the last flush (the *mark*), and the next flush brings what
follows. So is that of a relay that was cut and comes back: it gets what it has missed instead,
headers in their places.

Lag is measured against what was flushed within the lag limit: a viewer with more unsent bytes
than that is further behind than the limit, and no clock per message is needed.
"""

from dataclasses import dataclass
from typing import Final

from common.config.model import FanoutSettings
from common.media.packet import Packet, Role
from common.media.recent import ResumePoint
from common.stream.beginnings import Beginnings, Source
from common.stream.blocks import Block, OutputSpec
from common.stream.flushable import FlushTimes
from common.stream.flusher import Flusher
from common.stream.lag import LagWindow
from common.stream.viewer import Audience, Viewer

_KEYFRAME: Final = Role.KEYFRAME
_AUDIO: Final = Role.AUDIO


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """Where among the pending messages a waiting viewer can start, and the headers in force there.

    Headers may change behind it before the flush: they are pending themselves, in their place.
    They are packets, not yet a block: most keyframes find nobody waiting, and headers can be
    megabytes while a keyframe is a few bytes.
    """

    index: int
    headers: list[Packet]
    header_version: int


class Output:
    """The viewers of one stream that share one serialisation."""

    __slots__ = (
        "_audience",
        "_beginnings",
        "_congested",
        "_dirty",
        "_entry",
        "_flusher",
        "_pending",
        "_ready",
        "_settings",
        "_stream",
        "_waiting",
        "_window",
        "spec",
        "times",
    )

    def __init__(self, stream: Source, spec: OutputSpec, flusher: Flusher) -> None:
        self.spec = spec
        self.times = FlushTimes()
        self._stream = stream
        self._flusher = flusher
        self._settings: FanoutSettings = flusher.settings
        self._ready: dict[Viewer, None] = {}  # a set in the order in which they came
        self._audience: Audience | None = None  # _ready for the flush, until it changes
        self._congested: set[Viewer] = set()
        self._waiting: set[Viewer] = set()
        self._pending: list[Packet] = []
        self._entry: EntryPoint | None = None
        self._dirty = False
        self._beginnings = Beginnings(stream, spec)
        self._window = LagWindow(self._settings.lag_limit_ms / 1000)

    @property
    def viewers(self) -> int:
        """How many viewers take this output."""
        return len(self._ready) + len(self._congested) + len(self._waiting)

    def add(self, packet: Packet) -> None:
        """Take ``packet``; it is written at the next flush."""
        if not self.spec.takes(packet):
            return
        role = packet.role
        if role is _KEYFRAME or (self._waiting and role is _AUDIO and self._is_wanted_entry()):
            self._entry = EntryPoint(
                len(self._pending),
                self._beginnings.headers(packet.timestamp),
                self._stream.header_version,
            )
        self._pending.append(packet)
        if not self._dirty:
            self._dirty = True
            self._flusher.wake(self)
        elif self.times.ripe_at and self._flusher.now() >= self.times.ripe_at:
            self._flusher.flush(self)

    def join(
        self,
        viewer: Viewer,
        now: float,
        *,
        at_keyframe: bool = False,
        since: ResumePoint | None = None,
    ) -> None:
        """Let ``viewer`` take this output from now on.

        It starts from the cache at once where that is possible, else, or with ``at_keyframe``,
        at the next keyframe: a viewer that resumes must not see time go back. One that has not
        taken what it was sent before, perhaps of another play, must do so first. A relay that has
        the stream up to ``since`` gets what came then, if that is still here; one that must wait
        gets the codec headers.
        """
        viewer.seat = self
        if not viewer.congested:
            viewer.lagging_since = None
        elif viewer.lagging_since is None:
            viewer.lagging_since = now
        from_cache = self.spec.video and not at_keyframe and not viewer.congested
        block = None
        if from_cache:
            beginnings = self._beginnings
            block = (since and beginnings.after(since)) or beginnings.from_cache()
        if block is not None:
            self._start(viewer, block, now, beyond_flushes=len(block.data))
        else:
            self._waiting.add(viewer)
            self._tell_waiting()

    def leave(self, viewer: Viewer) -> None:
        """Forget ``viewer``; harmless when it is not here."""
        viewer.seat = None
        # Wherever it stands now, it may have been ready when this round began.
        self._flusher.retract(viewer)
        self._make_unready(viewer)
        self._congested.discard(viewer)
        self._waiting.discard(viewer)

    def viewer_congested(self, viewer: Viewer) -> None:
        """Take the slow path for ``viewer`` until its transport is drained."""
        self._flusher.outlet_changed()
        if self._make_unready(viewer):
            self._congested.add(viewer)

    def viewer_drained(self, viewer: Viewer) -> None:
        """Take the fast path for ``viewer`` again."""
        if viewer in self._congested:
            self._congested.remove(viewer)
            self._make_ready(viewer)

    def begin_flush(self, now: float) -> tuple[bytes, Audience]:
        """Take what is pending; return the block and the viewers to write it to.

        The few viewers that need a decision (congested, waiting) are served here; the many that
        do not are the caller's, who may do it in slices.
        """
        self._dirty = False
        block = self.spec.block(self._pending)
        if self._audience is None:
            self._audience = Audience(self._ready)
        audience = self._audience
        self._window.note_flushed(len(block.data), now)
        written = len(audience.viewers)
        for viewer in list(self._congested):
            written += self._write_congested(viewer, block.data, now)
        self._flusher.totals.count(block, written)
        if self._entry is not None:
            if self._waiting:
                self._start_waiting(self._entry, now)
            self._entry = None
        self._pending.clear()
        self._beginnings.flushed()
        return block.data, audience

    def check_lag(self, now: float) -> tuple[float, int]:
        """Kick viewers that cannot catch up; return (the longest lag in s, lagging viewers).

        Called about once a second. Relays that have come before the headers are given them, too.
        """
        self._tell_waiting()
        longest = 0.0
        lagging = 0
        for viewer in list(self._waiting):
            since = viewer.lagging_since
            if since is None:
                continue
            lagging += 1
            longest = max(longest, now - since + self._settings.lag_limit_ms / 1000)
            if viewer.congested and now - since > self._settings.kick_after_s:
                viewer.owner.viewer_kicked(viewer, "too_slow")
        unsent = max((viewer.unsent_bytes for viewer in self._congested), default=0)
        longest = max(longest, self._window.lag_s(unsent, now))
        return longest, lagging

    def _start(self, viewer: Viewer, block: Block, now: float, *, beyond_flushes: int) -> None:
        viewer.header_version = self._stream.header_version
        viewer.lagging_since = None
        viewer.began_at = now
        viewer.beyond_flushes = beyond_flushes
        self._flusher.totals.count(block, 1)
        viewer.write(block.data)
        if viewer.congested:
            self._congested.add(viewer)
        else:
            self._make_ready(viewer)
        if not viewer.started:
            viewer.started = True
            viewer.owner.viewer_started(viewer)

    def _make_ready(self, viewer: Viewer) -> None:
        self._ready[viewer] = None
        self._audience = None

    def _make_unready(self, viewer: Viewer) -> bool:
        """Return whether it was ready."""
        if viewer not in self._ready:
            return False
        del self._ready[viewer]
        self._audience = None
        return True

    def _is_wanted_entry(self) -> bool:
        """Tell whether those who wait can start here: there is no picture to wait for."""
        return self._entry is None and not (self.spec.video and self._stream.has_video)

    def _start_waiting(self, entry: EntryPoint, now: float) -> None:
        starting = [each for each in self._waiting if not each.congested]
        if not starting:
            return
        pending = self._pending[entry.index :]
        block = self.spec.block(pending)
        headers = self.spec.block(entry.headers, pending[0].timestamp)
        for viewer in starting:
            self._waiting.remove(viewer)
            if needs_headers := viewer.header_version != entry.header_version:
                # A write of its own, not one joined block for each: a thousand viewers may wait
                # for a stream to begin, and share these bytes.
                self._write_headers(viewer, headers, entry.header_version)
            more = len(headers.data) if needs_headers else 0
            self._start(viewer, block, now, beyond_flushes=more)

    def _tell_waiting(self) -> None:
        """Give relays that wait the headers that they do not have, without which they would leave.

        Nothing more: viewers behind them wait for the same keyframe, and would else begin with
        sound and no picture. Those that start with the next flush get theirs then.
        """
        if not self.spec.relay or self._entry is not None or not self._stream.headers.codecs:
            return
        version = self._stream.header_version
        untold = [
            each for each in self._waiting if each.header_version != version and not each.congested
        ]
        if untold:
            headers = self._beginnings.header_block(self._stream.recent.latest)
            for viewer in untold:
                self._write_headers(viewer, headers, version)

    def _write_headers(self, viewer: Viewer, headers: Block, version: int) -> None:
        viewer.header_version = version
        self._flusher.totals.count(headers, 1)
        viewer.write(headers.data)

    def _write_congested(self, viewer: Viewer, block: bytes, now: float) -> bool:
        """Write to a viewer that has unsent bytes, or skip it; return whether it was written to."""
        settings = self._settings
        # What it was given at its start, beside the flushes, does not count as lag until it had
        # time to take it.
        fresh = now - viewer.began_at < settings.lag_limit_ms / 1000
        allowance = viewer.beyond_flushes if fresh else 0
        limit = min(self._window.bytes, settings.lag_limit_bytes)
        if viewer.unsent_bytes <= limit + allowance:
            viewer.write(block)
            return True
        self._congested.remove(viewer)
        self._waiting.add(viewer)
        viewer.lagging_since = now
        self._flusher.totals.skipped_gops += 1
        return False
