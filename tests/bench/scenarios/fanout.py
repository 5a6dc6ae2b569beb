"""One stream, many players: CPU against the peers and against the raw send loop."""

from collections.abc import Sequence
from functools import partial

from .. import plot
from ..bench import Bench, Contender, MakeServer, Round
from ..load import Load
from ..result import Goal, Plot, Result, Table, cpu, p99, ratio, shown, spread, writes
from ..servers.base import Server
from ..servers.raw import RawLoop
from ..trial import Trial
from .base import AT_ONCE, Scenario, cost_table, fixed_interval

# Name, settings, the most that p99 may be in ms, the most of nginx's CPU.
_WAYS = (
    ("headwater, flush per message", AT_ONCE, None, 0.5),
    ("headwater, p99 < 60 ms", fixed_interval(48), 60.0, 0.25),
    ("headwater, p99 < 110 ms", fixed_interval(118), 110.0, 0.15),
)
_LIMIT_RATIO = 1.3
_REPEATS = 3


async def _run(bench: Bench, result: Result) -> None:
    load = Load(players=bench.players(1000), rate=1000, seconds=bench.seconds(5))
    contenders = []
    for name, settings, _, _ in _WAYS:
        # What an interval costs and buys is the edge's; relays from the origin wait for nothing.
        server = bench.headwater(name, edge_settings=settings)
        contenders.append(Contender(name=name, server=server, load=load))
        raw = _beside(name)
        contenders.append(Contender(name=raw, server=_loop_beside(bench, raw, name), load=load))
    contenders += [Contender(name=peer.name, server=peer, load=load) for peer in bench.peers]
    trials = await bench.compare(result, contenders, _REPEATS)
    result.tables += [cost_table(trials), _ratios(trials, bench.peers)]
    result.goals += _goals(trials)
    result.notes += [f"{name}: {', '.join(settings)}" for name, settings, _, _ in _WAYS]
    lateness = {
        name: [latency for trial in each for latency in trial.met.latencies_ms]
        for name, each in trials.items()
        if any(trial.met.latencies_ms for trial in each)
    }
    result.plots.append(
        Plot(
            name="latency",
            caption=f"Publish to player, {load.players:,} players",
            draw=partial(
                plot.latency_distribution, series={k: v for k, v in lateness.items() if v}
            ),
        )
    )


def _loop_beside(bench: Bench, name: str, beside: str) -> MakeServer:
    """Return what makes a send loop with as many writes as another trial of the round made."""

    def make(so_far: Round) -> Server | None:
        made = writes(so_far[beside]) if beside in so_far else None
        return (made and RawLoop(name, bench.clip, made)) or None

    return make


def _ratios(trials: dict[str, list[Trial]], peers: Sequence[Server]) -> Table:
    headings = ["CPU of", *(f"/ {peer.name}" for peer in peers), "/ send loop"]
    rows = []
    for name, _, _, _ in _WAYS:
        others = [peer.name for peer in peers] + [_beside(name)]
        against = [shown(ratio(trials[name], trials[each], cpu)) for each in others]
        rows.append((name, *against))
        # What nobody can go below here who writes each block to each player by itself.
        limits = [shown(ratio(trials[others[-1]], trials[each], cpu)) for each in others[:-1]]
        rows.append((others[-1], *limits, "1"))
    return Table(headings=tuple(headings), rows=rows)


def _goals(trials: dict[str, list[Trial]]) -> list[Goal]:
    goals = []
    for name, _, latency_ms, share in _WAYS:
        against = ratio(trials[name], trials.get("nginx", []), cpu)
        goals.append(Goal(text=f"CPU of {name} / nginx", value=against, limit=share))
        if latency_ms is not None:
            lateness = spread(trials[name], p99)
            goals.append(Goal(text=f"p99 of {name}", value=lateness, limit=latency_ms, unit="ms"))
        limit = ratio(trials[name], trials[_beside(name)], cpu)
        goals.append(Goal(text=f"CPU of {name} / send loop", value=limit, limit=_LIMIT_RATIO))
    return goals


def _beside(name: str) -> str:
    return f"send loop beside {name.partition(', ')[2]}"


FANOUT = Scenario(
    name="fanout",
    title="Fan-out of one stream",
    summary="CPU and latency of 1,000 players beside peers and a raw send loop",
    run=_run,
)
