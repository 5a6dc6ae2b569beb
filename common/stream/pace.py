"""How far apart flushes are: so that they take no more than their share of the core."""

from typing import Final

from common.config.model import FanoutSettings

_MEMORY_S: Final = 0.1
"""So far back goes what is remembered: a few flushes follow a change, one outlier does not."""

_LONGEST_SPACING_S: Final = 1.0
"""A stream that has paused for longer says nothing about how often it is flushed now."""


class Spacings:
    """How long ago the outputs of a round were flushed last, each as its viewers weigh."""

    __slots__ = ("_sum", "_viewers")

    def __init__(self) -> None:
        self._sum = 0.0
        self._viewers = 0

    def add(self, spacing_s: float, viewers: int) -> None:
        """Take an output into account; not one that has never been flushed."""
        self._sum += min(spacing_s, _LONGEST_SPACING_S) * viewers
        self._viewers += viewers

    @property
    def mean_s(self) -> float:
        """Their mean; 0 where nobody watches."""
        return self._sum / self._viewers if self._viewers else 0.0


class Pace:
    """Works out the interval between two flushes of an output, from what flushes have cost.

    The interval times the share is what it costs to flush everything once. That is estimated from
    the rounds as they come, whatever they carry: a round of one stream of a hundred cost a
    hundredth of it, and so did the others since this stream was flushed last. So each round counts
    with its cost times that spacing, over the time that has passed.
    """

    def __init__(self, settings: FanoutSettings) -> None:
        self.interval_s = settings.min_interval_ms / 1000
        """What is between two flushes of one output: more, or a little less, as messages come."""
        self._share = settings.cpu_share
        self._lowest_s = self.interval_s
        self._highest_s = settings.max_interval_ms / 1000
        self._cost_s = 0.0  # of flushing everything once
        self._noted_at = 0.0

    def note_round(self, cost_s: float, spacing_s: float, now: float) -> None:
        """Take note of a round at ``now``, ``spacing_s`` after its outputs were flushed last."""
        passed_s = now - self._noted_at
        self._noted_at = now
        cost = _MEMORY_S * self._cost_s + cost_s * spacing_s
        self._cost_s = cost / (_MEMORY_S + passed_s)
        wanted = self._cost_s / self._share
        self.interval_s = max(self._lowest_s, min(wanted, self._highest_s))
