"""As many players as one edge worker holds."""

from .. import result as figures
from ..bench import Bench
from ..load import Load
from ..result import Goal, Result, Table, shown, spread
from ..stats import Spread
from ..trial import Trial
from .base import Scenario

_PLAYERS = 10_000
_LATENCY_MS = 400.0
_STEPS = (1.0, 0.75, 0.5)
_CPU_GROWTH = 1.2
_RSS_GROWTH_MIB = 4.0
_SETTINGS = ("fanout.max_interval_ms=200",)
_HEADINGS = (
    "players",
    "lost",
    "skipped",
    "CPU %",
    "latency p50 ms",
    "p99 ms",
    "max ms",
    "longest gap ms",
    "RSS MiB",
    "growth MiB",
    "CPU, last third / first",
)


async def _run(bench: Bench, result: Result) -> None:
    wanted = bench.players(_PLAYERS)
    rows = []
    for share in _STEPS:
        players = round(wanted * share)
        attempt = Result(scenario="", title="")
        load = Load(players=players, sample=50, rate=1000, seconds=bench.seconds(60), settle_s=3)
        server = bench.headwater("headwater", *_SETTINGS)
        trial = await bench.trial(attempt, server, load)
        result.trials += attempt.trials
        if trial is None:
            result.notes += attempt.problems
            continue
        rows.append(_row(players, trial))
        if held(trial):
            result.goals += _goals(wanted, players, trial)
            break
        result.notes += [f"{players:,} players: {each}" for each in attempt.problems[:5]]
    else:
        result.problems.append(f"not even {round(wanted * _STEPS[-1]):,} players held")
    result.tables.append(Table(headings=_HEADINGS, rows=rows))
    result.notes.append(f"With {', '.join(_SETTINGS)}.")


def held(trial: Trial) -> bool:
    """Tell whether all played, nobody was skipped and nobody was late."""
    lateness = figures.p99(trial)
    return (
        not trial.problems
        and not figures.lost_players(trial)
        and not figures.skipped(trial)
        and lateness is not None
        and lateness < _LATENCY_MS
    )


def _row(players: int, trial: Trial) -> tuple[str, ...]:
    readers = (
        figures.lost_players,
        figures.skipped,
        figures.cpu,
        figures.p50,
        figures.p99,
        figures.worst,
        figures.longest_gap,
        figures.rss_mib,
        figures.rss_growth_mib,
        figures.cpu_growth,
    )
    return (f"{players:,}", *(shown(spread([trial], read)) for read in readers))


def _goals(wanted: int, players: int, trial: Trial) -> list[Goal]:
    short = wanted - players
    missing = Spread(median=short, low=short, high=short)
    return [
        Goal(text=f"players short of {wanted:,}", value=missing, limit=0),
        Goal(
            text="p99 of publish to player",
            value=spread([trial], figures.p99),
            limit=_LATENCY_MS,
            unit="ms",
        ),
        Goal(text="players skipped", value=spread([trial], figures.skipped), limit=0),
        Goal(
            text="CPU, last third of the time / first",
            value=spread([trial], figures.cpu_growth),
            limit=_CPU_GROWTH,
        ),
        Goal(
            text="memory that was added while all played",
            value=spread([trial], figures.rss_growth_mib),
            limit=_RSS_GROWTH_MIB,
            unit="MiB",
        ),
    ]


LIMIT = Scenario(
    name="limit",
    title="The limit of one edge worker",
    summary="10,000 players for 60 s: nobody skipped, nothing grows",
    run=_run,
)
