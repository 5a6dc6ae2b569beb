"""When blocks are written: the adaptive flush of a worker.

With few viewers a flush costs microseconds and follows each message at once. As the cost of a
round grows, rounds are spaced so that they take no more than a share of the core, up to a ceiling
in time: latency is given up only where it buys something, and never more than configured. A long
round is cut into slices, so that a publisher's bytes or a new viewer never wait for all of it.

Cost is measured around the writes: with write buffer limits of 0 the transport hands each block to
the kernel inside ``write``, so what is measured is what was spent.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

from common.config.model import FanoutSettings
from common.metrics import FLUSH_DURATION, FLUSH_INTERVAL, HistogramFeed
from common.stream.output import Output, Write

_SMOOTHING: Final = 0.3
"""Weight of the newest round's cost: a few rounds follow a change, one outlier does not."""

_AT_ONCE_S: Final = 0.001
"""Shorter waits are not worth a timer, whose resolution is 1 ms."""


@dataclass(slots=True)
class FanoutTotals:
    """What a worker has written since its start, as plain integers."""

    bytes_out: int = 0
    audio_out: int = 0
    video_out: int = 0
    data_out: int = 0
    skipped_gops: int = 0


class Flusher:
    """Writes the pending blocks of all outputs of a worker, in rounds."""

    def __init__(
        self,
        settings: FanoutSettings,
        loop: asyncio.AbstractEventLoop,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self.settings = settings
        self.totals = FanoutTotals()
        self.durations = HistogramFeed(FLUSH_DURATION)
        self.intervals = HistogramFeed(FLUSH_INTERVAL)
        self._loop = loop
        self._now = now  # not the loop's time, which stands still within one turn of it
        self._dirty: list[Output] = []
        self._jobs: deque[tuple[bytes, list[Write]]] = deque()
        self._job_at = 0  # index of the next writer of the first job
        self._busy = False  # a round is scheduled or under way
        self._round_began = 0.0
        self._round_cost = 0.0
        self._cost = 0.0  # smoothed, of a round
        self._interval = settings.min_interval_ms / 1000

    @property
    def interval_s(self) -> float:
        """The spacing of rounds in force."""
        return self._interval

    def wake(self, output: Output) -> None:
        """Take note that ``output`` has something pending; it calls once until it is flushed."""
        self._dirty.append(output)
        if not self._busy:
            self._schedule()

    def _schedule(self) -> None:
        self._busy = True
        delay = self._round_began + self._interval - self._now()
        if delay < _AT_ONCE_S:
            # Not this very moment: messages that came in one read go out in one block.
            self._loop.call_soon(self._begin_round)
        else:
            self._loop.call_later(delay, self._begin_round)

    def _begin_round(self) -> None:
        now = self._now()
        self.intervals.observe(now - self._round_began)
        self._round_began = now
        dirty, self._dirty = self._dirty, []
        for output in dirty:
            self._jobs.append(output.begin_flush(now))
        self._round_cost = self._now() - now
        self._write_slice()

    def _write_slice(self) -> None:
        began = self._now()
        jobs = self._jobs
        room = self.settings.slice_viewers
        while jobs and room > 0:
            block, writers = jobs[0]
            end = self._job_at + room
            # A slice of the whole list is cheap; the loop is the innermost one of an edge, so
            # nothing else may stand in it.
            part = writers[self._job_at : end]
            for write in part:
                try:
                    write(block)
                except RuntimeError:  # uvloop: closed, and its connection_lost comes later
                    continue
            room -= max(len(part), 1)
            if end >= len(writers):
                jobs.popleft()
                self._job_at = 0
            else:
                self._job_at = end
        self._round_cost += self._now() - began
        if jobs:
            self._loop.call_soon(self._write_slice)
        else:
            self._end_round()

    def _end_round(self) -> None:
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
