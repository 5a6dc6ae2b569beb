"""One viewer, through origin and edge; and how soon a first picture comes."""

from ..bench import Bench
from ..load import Load
from ..result import Goal, Result, Table, p50, p99, shown, spread, worst
from ..stats import Percentiles, Spread
from .base import Scenario

_P50_MS = 2.0
_STARTS = 50
_STARTS_PER_S = 20.0
_PULLS = 10

_CACHED_MS = 100.0
_PULLED_MS = 300.0


async def _run(bench: Bench, result: Result) -> None:
    server = bench.headwater()
    one = Load(players=0, sample=1, seconds=bench.seconds(10))
    steady = await bench.trial(result, server, one)
    starts = Load(players=0, sample=1, joiners=_STARTS, join_rate=_STARTS_PER_S, seconds=2)
    cached = await bench.trial(result, server, starts)
    # The first player of each stream waits until the edge has pulled it.
    pulls = Load(players=0, sample=_PULLS, streams=_PULLS, seconds=1)
    pulled = await bench.trial(result, server, pulls)
    if steady is None or cached is None or pulled is None:
        return
    lateness = [shown(spread([steady], read)) for read in (p50, p99, worst)]
    rows = [
        ("publish to player", *lateness),
        ("first keyframe, stream on the edge", *_cells(cached.joined.first_keyframe)),
        ("first keyframe, stream to be pulled", *_cells(pulled.met.first_keyframe)),
    ]
    headings = ("one viewer through origin and edge", "p50 ms", "p99 ms", "max ms")
    result.tables.append(Table(headings=headings, rows=rows))
    result.goals += [
        Goal(text="publish to player, p50", value=spread([steady], p50), limit=_P50_MS, unit="ms"),
        _first("first keyframe, on the edge", cached.joined.first_keyframe, _CACHED_MS),
        _first("first keyframe, pulled", pulled.met.first_keyframe, _PULLED_MS),
    ]


def _cells(times: Percentiles | None) -> list[str]:
    if times is None:
        return ["-"] * 3
    return [shown(Spread.of([each])) for each in (times.p50, times.p99, times.max)]


def _first(text: str, times: Percentiles | None, limit: float) -> Goal:
    slowest = None if times is None else Spread.of([times.max])
    return Goal(text=f"{text}, slowest", value=slowest, limit=limit, unit="ms")


LATENCY = Scenario(
    name="latency",
    title="One viewer",
    summary="latency through origin and edge, time to a first picture",
    run=_run,
)
