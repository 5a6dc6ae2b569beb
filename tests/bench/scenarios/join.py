"""A thousand players join within a second: how soon they see something, and who notices."""

from ..bench import Bench
from ..load import Load
from ..result import Goal, Result, Table, longest_gap, lost_players, shown, spread
from ..stats import Spread
from .base import Scenario

_PLAYING = 300
_FIRST_KEYFRAME_MS = 1000.0
_GAP_MS = 250.0


async def _run(bench: Bench, result: Result) -> None:
    joiners = bench.players(1000)
    load = Load(players=_PLAYING, joiners=joiners, join_rate=joiners, seconds=bench.seconds(3))
    trial = await bench.trial(result, bench.headwater(), load)
    if trial is None:
        return
    first = trial.joined.first_keyframe
    times = [] if first is None else [first.p50, first.p99, first.max]
    cells = [shown(Spread.of([each])) for each in times]
    gap = spread([trial], longest_gap)
    started = f"{trial.joined.started:,} of {joiners:,}"
    headings = ("joined", "first keyframe p50 ms", "p99 ms", "max ms", "longest gap of others ms")
    result.tables.append(Table(headings=headings, rows=[(started, *cells, shown(gap))]))
    result.goals += [
        Goal(
            text="last first keyframe, from opening the connection",
            value=Spread.of(times[-1:]),
            limit=_FIRST_KEYFRAME_MS,
            unit="ms",
        ),
        Goal(text="longest gap of those already playing", value=gap, limit=_GAP_MS, unit="ms"),
        Goal(text="players lost", value=spread([trial], lost_players), limit=0),
    ]


JOIN = Scenario(
    name="join",
    title="Many players join within a second",
    summary="first keyframe of each, gaps of 300 who are there already",
    run=_run,
)
