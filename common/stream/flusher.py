"""When blocks are written: the adaptive flush of a worker.

With few viewers a flush costs microseconds and follows each message at once. As the cost of a
round grows, rounds are spaced so that they take no more than a share of the core, up to a ceiling
in time: latency is given up only where it buys something, and never more than configured. A long
round is cut into slices, so that a publisher's bytes or a new viewer never wait for all of it.

Cost is measured around the writes: with write buffer limits of 0 the transport hands each block to
the kernel inside ``write``, so what is measured is what was spent. It is CPU time: on a busy
machine the time by the clock would count what others took, and give up latency for nothing. To ask
for it is a system call: where rounds have been of a few writes for a while, they are not measured
and count as free.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic, thread_time
from typing import Final, Protocol

from common.config.model import FanoutSettings
from common.metrics import FLUSH_DURATION, FLUSH_INTERVAL, HistogramFeed
from common.rtmp.message import MessageType
from common.stream.blocks import Block

Write = Callable[[bytes], None]

_SMOOTHING: Final = 0.3
"""Weight of the newest round's cost: a few rounds follow a change, one outlier does not."""

_AT_ONCE_S: Final = 0.001
"""Shorter waits are not worth a timer, whose resolution is 1 ms."""

_MANY_WRITES: Final = 8
_MEASURED_ROUNDS: Final = 16
"""After a round of many writes so many are measured: those of small and large streams alternate.
Rounds of fewer need no spacing."""

_GATHER_SHARE: Final = 0.5
_GATHER_MAX_S: Final = 0.002
"""A round waits for so much of its own cost, at most so long, for what comes with its beginning.

Encoders send a picture and the sound before it one after the other. Both in one round cost half of
what two rounds cost, and the last viewer of a round waits for all of it anyway. Where rounds cost
next to nothing, no message waits."""


@dataclass(slots=True)
class FanoutTotals:
    """What a worker has written since its start, as plain integers."""

    bytes_out: int = 0
    audio_out: int = 0
    video_out: int = 0
    data_out: int = 0
    skipped_gops: int = 0

    def count(self, block: Block, viewers: int) -> None:
        """Take note that ``viewers`` were written ``block``."""
        types = block.types
        self.bytes_out += len(block.data) * viewers
        self.audio_out += types.count(MessageType.AUDIO) * viewers
        self.video_out += types.count(MessageType.VIDEO) * viewers
        self.data_out += types.count(MessageType.DATA_AMF0) * viewers


class Flushable(Protocol):
    """Something with blocks to write: an output."""

    @property
    def viewers(self) -> int:
        """How many viewers take it."""
        ...

    def begin_flush(self, now: float) -> tuple[bytes, list[Write]]:
        """Take what is pending; return the block and the writes to call with it."""
        ...


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
        self._loop = loop
        self._now = now  # not the loop's time, which stands still within one turn of it
        self._cpu_time = cpu_time
        self._dirty: list[Flushable] = []
        self._jobs: deque[tuple[bytes, list[Write]]] = deque()
        self._job_at = 0  # index of the next writer of the first job
        self._gone: set[Write] = set()  # of viewers that left during this round
        self._busy = False  # a round is scheduled or under way
        self._round_began = 0.0
        self._round_cost = 0.0
        self._measured = 0  # rounds that are still to be measured, this one included
        self._cost = 0.0  # smoothed, of a round
        self._interval = settings.min_interval_ms / 1000

    @property
    def interval_s(self) -> float:
        """The spacing of rounds in force."""
        return self._interval

    def wake(self, output: Flushable) -> None:
        """Take note that ``output`` has something pending; it calls once until it is flushed."""
        self._dirty.append(output)
        if not self._busy:
            self._schedule()

    def retract(self, write: Write) -> None:
        """Do not call ``write`` any more in this round: its viewer has left the output.

        It may have come back at another place of the stream, or take another stream by now.
        """
        if self._jobs:
            self._gone.add(write)

    def finish(self, outputs: Iterable[Flushable]) -> None:
        """Write now what is pending for ``outputs``: their stream is over, the viewers will go."""
        self._write(sys.maxsize)  # a round that is under way comes first, in order
        self._gone.clear()
        for output in outputs:
            if output in self._dirty:
                self._dirty.remove(output)
                self._jobs.append(output.begin_flush(self._now()))
        self._write(sys.maxsize)

    def _schedule(self) -> None:
        self._busy = True
        spaced = self._round_began + self._interval - self._now()
        delay = max(spaced, min(self._cost * _GATHER_SHARE, _GATHER_MAX_S))
        if delay < _AT_ONCE_S:
            # Not this very moment: messages that came in one read go out in one block.
            self._loop.call_soon(self._begin_round)
        else:
            self._loop.call_later(delay, self._begin_round)

    def _begin_round(self) -> None:
        now = self._now()
        if self._round_began:
            self.intervals.observe(now - self._round_began)
        self._round_began = now
        dirty, self._dirty = self._dirty, []
        if sum([output.viewers for output in dirty]) >= _MANY_WRITES:
            self._measured = _MEASURED_ROUNDS
        elif self._measured:
            self._measured -= 1
        self._round_cost = 0.0
        began = self._spent()
        for output in dirty:
            self._jobs.append(output.begin_flush(now))
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
        """Call up to ``room`` of the writes that are left of this round."""
        jobs = self._jobs
        while jobs and room > 0:
            block, writers = jobs[0]
            end = self._job_at + room
            part = writers[self._job_at : end]
            room -= max(len(part), 1)
            if end >= len(writers):
                jobs.popleft()
                self._job_at = 0
            else:
                self._job_at = end
            if self._gone:
                part = [write for write in part if write not in self._gone]
            # The innermost loop of an edge: nothing else may stand in it.
            for write in part:
                try:
                    write(block)
                except RuntimeError:  # uvloop: closed, and its connection_lost comes later
                    continue

    def _spent(self) -> float:
        """Return the CPU time so far, in a round that is measured."""
        return self._cpu_time() if self._measured else 0.0

    def _end_round(self) -> None:
        self._gone.clear()
        if self._measured:
            self.durations.observe(self._round_cost)
        self._cost += _SMOOTHING * (self._round_cost - self._cost)
        wanted = self._cost / self.settings.cpu_share
        lowest = self.settings.min_interval_ms / 1000
        highest = self.settings.max_interval_ms / 1000
        self._interval = max(lowest, min(wanted, highest))
        if self._dirty:
            self._schedule()
        else:
            self._busy = False
