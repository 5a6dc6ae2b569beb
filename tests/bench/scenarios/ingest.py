"""Many publishers: what taking their streams costs, and that no message is lost."""

from common.cluster.records import NodeRole

from ..bench import Bench, Contender
from ..load import Load
from ..result import Goal, Result, Table, cpu, longest_gap, ratio, rss_mib, shown, spread, user_cpu
from ..servers.headwater import HeadwaterOptions
from ..stats import Spread
from .base import Scenario, rows

_PUBLISHERS = 40
_MANY = 300
_LIMIT_RATIO = 1.2
_REPEATS = 3
_SETTLE_S = 3.0
"""It takes an origin two seconds to find that nobody watches."""

_WATCHED = "headwater, as if watched"
_AS_IF_WATCHED = "publish.unwatched_read_ms=0"


async def _run(bench: Bench, result: Result) -> None:
    load = Load(
        players=0, sample=0, streams=_PUBLISHERS, seconds=bench.seconds(5), settle_s=_SETTLE_S
    )
    only_origin: HeadwaterOptions = {"judged": NodeRole.ORIGIN, "edges": 0}
    ours = [
        bench.headwater("headwater", **only_origin),
        bench.headwater(_WATCHED, _AS_IF_WATCHED, **only_origin),
        *bench.interpreted(_WATCHED, _AS_IF_WATCHED, **only_origin),
    ]
    contenders = [
        Contender(name=each.name, server=each, load=load) for each in (*ours, *bench.peers)
    ]
    trials = await bench.compare(result, contenders, _REPEATS)
    headings = (f"{_PUBLISHERS} publishers, no players", "CPU %", "user %", "RSS MiB")
    table = Table(headings=headings, rows=rows(trials, (cpu, user_cpu, rss_mib)))
    result.tables.append(table)
    against = ratio(trials["headwater"], trials.get("nginx", []), cpu)
    if "nginx" in trials:
        result.notes += [
            f"CPU of {each.name} / nginx: {shown(ratio(trials[each.name], trials['nginx'], cpu))}"
            for each in ours[1:]
        ]
    result.goals.append(
        Goal(text=f"CPU of {_PUBLISHERS} publishers / nginx", value=against, limit=_LIMIT_RATIO)
    )
    await _many(bench, result)


async def _many(bench: Bench, result: Result) -> None:
    """Relay each of many streams to an edge, with one player who looks at every message of it."""
    streams = bench.players(_MANY)
    load = Load(players=0, sample=streams, streams=streams, seconds=bench.seconds(10))
    server = bench.headwater(judged=NodeRole.ORIGIN)
    trial = await bench.trial(result, server, load)
    if trial is None:
        return
    figures = (cpu, longest_gap)
    cells = [shown(spread([trial], read)) for read in figures]
    headings = ("streams through origin and edge", "origin CPU %", "longest gap ms", "messages")
    row = (f"{trial.met.started:,} of {streams:,}", *cells, f"{trial.met.messages:,}")
    result.tables.append(Table(headings=headings, rows=[row]))
    wrong = Spread.of([len(trial.problems)])
    text = f"messages lost, repeated or changed of {streams} relayed streams"
    result.goals.append(Goal(text=text, value=wrong, limit=0))


INGEST = Scenario(
    name="ingest",
    title="Publishers",
    summary="CPU of 40 publishers beside peers; 300 streams relayed, no message lost",
    run=_run,
)
