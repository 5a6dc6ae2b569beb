"""Percentiles, medians with their spread, ratios."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` of sorted values lie; 0 of nothing."""
    return ordered[round((len(ordered) - 1) * share)] if ordered else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """How values are distributed."""

    count: int
    p50: float
    p99: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Percentiles | None":
        """Return them; None of nothing."""
        ordered = sorted(values)
        if not ordered:
            return None
        return cls(
            count=len(ordered),
            p50=percentile(ordered, 0.5),
            p99=percentile(ordered, 0.99),
            max=ordered[-1],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """What repeated measurements of one thing gave."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread | None":
        """Return median, least and greatest; None of nothing."""
        if not values:
            return None
        return cls(median=statistics.median(values), low=min(values), high=max(values))

    def __str__(self) -> str:
        if self.low == self.high:
            return number(self.median)
        return f"{number(self.median)} ({number(self.low)}..{number(self.high)})"


def ratios(values: Sequence[float], others: Sequence[float]) -> Spread | None:
    """Return how values compare with those that were measured beside them, round by round."""
    pairs = zip(values, others, strict=False)  # a round may have been cut short
    return Spread.of([value / other for value, other in pairs if other > 0])


def number(value: float) -> str:
    """Return a number as it is read easily: about three digits."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
