"""What scenarios share."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from .. import result as figures
from ..bench import Bench
from ..result import Result, Table, shown, spread
from ..trial import Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A question, and the function that answers it."""

    name: str
    title: str
    summary: str
    run: Callable[[Bench, Result], Awaitable[None]]


def fixed_interval(ms: float) -> tuple[str, ...]:
    """Return the settings with which a flush comes every so many ms, whatever it costs."""
    return (f"fanout.min_interval_ms={ms:g}", f"fanout.max_interval_ms={ms:g}")


AT_ONCE = fixed_interval(0)
"""A flush per message."""

STEADY_MS = 50.0
"""The interval where two loads are compared: both make the same number of writes."""

COST_HEADINGS = (
    "server",
    "writes/s",
    "CPU %",
    "user %",
    "latency p50 ms",
    "p99 ms",
    "max ms",
    "RSS MiB",
    "switches/s",
)


def cost_table(trials: Mapping[str, Sequence[Trial]]) -> Table:
    """Return what each contender cost and how late its players were."""
    readers = (
        figures.writes,
        figures.cpu,
        figures.user_cpu,
        figures.p50,
        figures.p99,
        figures.worst,
        figures.rss_mib,
        figures.switches,
    )
    return Table(headings=COST_HEADINGS, rows=rows(trials, readers))


def rows(
    trials: Mapping[str, Sequence[Trial]], readers: Iterable[figures.Reader]
) -> list[tuple[str, ...]]:
    """Return a row for each contender, with the spread of each figure."""
    readers = tuple(readers)
    return [
        (name, *(shown(spread(each, read)) for read in readers)) for name, each in trials.items()
    ]
