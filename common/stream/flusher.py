"""When blocks are written: the adaptive flush of a worker.

With few viewers a flush costs microseconds and follows each message at once. As flushes get dearer,
those of an output are spaced so that all together take no more than a share of the core, up to a
ceiling in time: latency is given up only where it buys something, and never more than configured.

An output that has waited for its interval is flushed *with the next message*, not before it: a
flush between two pictures is one more write to every viewer, and brings the next picture no sooner.
What is pending waits for as long as the interval at most. At 30 pictures a second and an interval
of 50 ms that is a write for each second picture, of which one is 33 ms old and the other new; by
the clock it would be a third more writes, of pictures of any age up to 50 ms.

What is to be flushed at a time is a *round*. A long one is cut into slices, so that a publisher's
bytes or a new viewer never wait for all of it.

Cost is measured around the writes: each block is handed to the kernel there and then, so what is
measured is what was spent. It is CPU time: on a busy machine the time by the clock would count what
others took, and give up latency for nothing. To ask for it is a system call: where rounds have been
of a few writes for a while, they are not measured and count as free.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic, thread_time
from typing import Final, Protocol

from common.config.model import FanoutSettings
from common.metrics import FLUSH_DURATION, FLUSH_INTERVAL, HistogramFeed
from common.stream.flushable import FanoutTotals, Flushable
from common.stream.pace import Pace, Spacings
from common.stream.viewer import Audience, Viewer

_SMOOTHING: Final = 0.3
"""Weight of the newest round's cost in that of a usual one."""

_EARLY: Final = 0.1
"""A message that comes so much of the interval early need not wait for another one."""

_AT_ONCE_S: Final = 0.001
"""Shorter waits are not worth a timer, whose resolution is 1 ms."""

_MANY_WRITES: Final = 8
_MEASURED_ROUNDS: Final = 16
"""After a round of many writes so many are measured: those of small and large streams alternate.
Rounds of fewer need no spacing."""

_GATHER_S: Final = 0.001
"""Where flushes are spaced, a round waits so long for what comes with its beginning.

Encoders send a picture and the sound before it one after the other. A round for the sound alone
would have the picture wait for its interval, and make two writes of one. Where flushes cost next to
nothing, no message waits."""

_GATHER_SHARE: Final = 0.1
_GATHER_MAX_S: Final = 0.005
_DEAR_ROUND_S: Final = 0.002
"""Rounds that are cheap though the interval is long, as of many streams, wait for so much of it: a
round for each would cost more than what it writes."""


class Scheduler(Protocol):
    """The part of an event loop that rounds need."""

    def call_soon(self, callback: Callable[[], None], /) -> object:
        """Call in the next turn."""
        ...

    def call_later(self, delay: float, callback: Callable[[], None], /) -> object:
        """Call after ``delay`` seconds."""
        ...


class Flusher:
    """Writes the pending blocks of all outputs of a worker, in rounds."""

    def __init__(
        self,
        settings: FanoutSettings,
        loop: Scheduler,
        now: Callable[[], float] = monotonic,
        cpu_time: Callable[[], float] = thread_time,
    ) -> None:
        self.settings = settings
        self.totals = FanoutTotals()
        self.durations = HistogramFeed(FLUSH_DURATION)
        self.intervals = HistogramFeed(FLUSH_INTERVAL)
        self.now = now  # not the loop's time, which stands still within one turn of it
        self._loop = loop
        self._cpu_time = cpu_time
        self._pace = Pace(settings)
        self._ripe: list[Flushable] = []  # for the next round
        self._held: deque[tuple[float, Flushable]] = deque()  # until when; some no longer are
        self._alarm_set = False
        self._jobs: deque[tuple[bytes, Audience]] = deque()
        self._job_at = 0  # index of the next viewer of the first job
        self._gone: set[Viewer] = set()  # viewers that left during this round
        self._changed = False  # whether some did, or have another outlet now
        self._writing = False
        self._busy = False  # a round is scheduled or under way
        self._round_cost = 0.0
        self._round_spacing = 0.0
        self._measured = 0  # rounds that are still to be measured, this one included
        self._usual_cost = 0.0  # smoothed, of a round

    @property
    def interval_s(self) -> float:
        """The spacing of an output's flushes in force."""
        return self._pace.interval_s

    @property
    def _gather_s(self) -> float:
        """How long a round waits for what comes with its beginning, where flushes are spaced."""
        if self._usual_cost >= _DEAR_ROUND_S:
            return _GATHER_S
        return max(_GATHER_S, min(self._pace.interval_s * _GATHER_SHARE, _GATHER_MAX_S))

    def wake(self, output: Flushable) -> None:
        """Take note that ``output`` has something pending; it calls once until it is flushed."""
        now = self.now()
        interval = self._pace.interval_s
        times = output.times
        ripe_at = times.flushed_at + interval * (1 - _EARLY)
        if ripe_at - now < _AT_ONCE_S:
            self.flush(output)
            return
        times.ripe_at = ripe_at
        times.held_until = now + interval
        self._held.append((times.held_until, output))
        self._set_alarm(interval)

    def flush(self, output: Flushable) -> None:
        """Let ``output`` be in the next round."""
        output.times.ripe_at = 0.0
        self._ripe.append(output)
        if not self._busy:
            self._schedule()

    def retract(self, viewer: Viewer) -> None:
        """Do not write to ``viewer`` any more in this round: it has left the output.

        It may have come back at another place of the stream, or take another stream by now.
        """
        if self._jobs:
            self._gone.add(viewer)
            self._changed = True

    def outlet_changed(self) -> None:
        """Look at the outlet of each viewer in what is left of this round: one has lost its own.

        That of a viewer that is being written to is of no matter: it comes no more in this round.
        """
        if self._jobs and not self._writing:
            self._changed = True

    def finish(self, outputs: Iterable[Flushable]) -> None:
        """Write now what is pending for ``outputs``: their stream is over, the viewers will go."""
        self._write(sys.maxsize)  # a round that is under way comes first, in order
        self._forget_changes()
        for output in outputs:
            if output in self._ripe:
                self._ripe.remove(output)
            elif not output.times.ripe_at:
                continue
            output.times.ripe_at = 0.0
            self._jobs.append(output.begin_flush(self.now()))
        self._write(sys.maxsize)

    def _set_alarm(self, delay: float) -> None:
        if not self._alarm_set:
            self._alarm_set = True
            self._loop.call_later(delay, self._release_held)

    def _release_held(self) -> None:
        """Flush what has been held for long enough."""
        self._alarm_set = False
        held = self._held
        now = self.now()
        while held:
            until, output = held[0]
            times = output.times
            if times.ripe_at and times.held_until == until:
                # What is due within a gathering goes with this one: timers may come early, and one
                # for less than their resolution comes again and again until then.
                if (left := until - now) > self._gather_s:
                    self._set_alarm(left)
                    return
                self.flush(output)
            held.popleft()

    def _schedule(self) -> None:
        self._busy = True
        if self._pace.interval_s >= _AT_ONCE_S or self._usual_cost >= _DEAR_ROUND_S:
            self._loop.call_later(self._gather_s, self._begin_round)
        else:
            # Not this very moment: messages that came in one read go out in one block.
            self._loop.call_soon(self._begin_round)

    def _begin_round(self) -> None:
        now = self.now()
        ripe, self._ripe = self._ripe, []
        if sum([output.viewers for output in ripe]) >= _MANY_WRITES:
            self._measured = _MEASURED_ROUNDS
        elif self._measured:
            self._measured -= 1
        self._round_cost = 0.0
        began = self._spent()
        spacings = Spacings()
        for output in ripe:
            times = output.times
            if times.flushed_at:
                since = now - times.flushed_at
                self.intervals.observe(since)
                spacings.add(since, output.viewers)
            times.flushed_at = now
            self._jobs.append(output.begin_flush(now))
        self._round_spacing = spacings.mean_s
        self._write_slice(began)

    def _next_slice(self) -> None:
        self._write_slice(self._spent())

    def _write_slice(self, began: float) -> None:
        self._write(self.settings.slice_viewers)
        self._round_cost += self._spent() - began
        if self._jobs:
            self._loop.call_soon(self._next_slice)
        else:
            self._end_round()

    def _write(self, room: int) -> None:
        """Make up to ``room`` of the writes that are left of this round."""
        jobs = self._jobs
        while jobs and room > 0:
            block, audience = jobs[0]
            begin = self._job_at
            end = min(begin + room, len(audience.viewers))
            room -= max(end - begin, 1)
            if end == len(audience.viewers):
                jobs.popleft()
                self._job_at = 0
            else:
                self._job_at = end
            if self._changed:
                self._write_one_by_one(block, audience.viewers[begin:end])
                continue
            self._writing = True
            viewers = audience.viewers
            outlets = audience.outlets
            size = len(block)
            # The innermost loop of an edge: nothing else may stand in it. As `Viewer.take`.
            for at in range(begin, end):
                outlet = outlets[at]
                if outlet is None:
                    viewers[at].write(block)
                    continue
                try:
                    sent = outlet.send(block)
                except OSError:
                    sent = 0
                if sent != size:
                    viewers[at].write_rest(block, sent)
            self._writing = False

    def _write_one_by_one(self, block: bytes, viewers: list[Viewer]) -> None:
        """Write to those of ``viewers`` that are still here, by the way that each has now."""
        for viewer in viewers:
            if viewer not in self._gone:
                viewer.take(block)

    def _forget_changes(self) -> None:
        self._gone.clear()
        self._changed = False

    def _spent(self) -> float:
        """Return the CPU time so far, in a round that is measured."""
        return self._cpu_time() if self._measured else 0.0

    def _end_round(self) -> None:
        self._forget_changes()
        cost = self._round_cost
        if self._measured:
            self.durations.observe(cost)
        self._usual_cost += _SMOOTHING * (cost - self._usual_cost)
        self._pace.note_round(cost, self._round_spacing, self.now())
        if self._ripe:
            self._schedule()
        else:
            self._busy = False
