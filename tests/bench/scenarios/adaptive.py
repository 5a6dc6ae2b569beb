"""The adaptive flush at work: interval, latency and CPU from one viewer to ten thousand."""

from collections.abc import Sequence
from functools import partial

from .. import plot
from ..bench import Bench
from ..load import Load
from ..result import Plot, Result, Table, cpu, interval, p50, p99, shown, spread
from ..servers.base import Server
from ..trial import Trial
from .base import Scenario

_VIEWERS = (1, 10, 100, 300, 1000, 3000, 10_000)
_PEERS_VIEWERS = (100, 300, 1000)
_SAMPLE = 10


async def _run(bench: Bench, result: Result) -> None:
    most = bench.players(_VIEWERS[-1])
    ours = bench.headwater()
    found = {ours.name: await _sweep(bench, result, ours, _VIEWERS, most)}
    for peer in bench.peers:
        found[peer.name] = await _sweep(bench, result, peer, _PEERS_VIEWERS, most)
    points = found[ours.name]
    rows = [
        (f"{viewers:,}", *(shown(spread([trial], read)) for read in (interval, cpu, p50, p99)))
        for viewers, trial in points.items()
    ]
    headings = ("viewers", "flush interval ms", "CPU %", "latency p50 ms", "p99 ms")
    result.tables.append(Table(headings=headings, rows=rows))
    costs = {
        name: {viewers: cpu(trial) or 0.0 for viewers, trial in each.items()}
        for name, each in found.items()
        if each
    }
    result.plots += [
        Plot(
            name="adaptive",
            caption="The adaptive flush: interval, latency and CPU against viewers",
            draw=partial(
                plot.adaptive,
                viewers=list(points),
                interval_ms=[interval(each) or 0.0 for each in points.values()],
                p50_ms=[p50(each) or 0.0 for each in points.values()],
                p99_ms=[p99(each) or 0.0 for each in points.values()],
                cpu=[cpu(each) or 0.0 for each in points.values()],
            ),
        ),
        Plot(
            name="cpu",
            caption="CPU against viewers",
            draw=partial(plot.cpu_against_viewers, series=costs),
        ),
    ]


async def _sweep(
    bench: Bench, result: Result, server: Server, numbers: Sequence[int], most: int
) -> dict[int, Trial]:
    """Return a trial for each number of viewers, those of the sample among them."""
    found = {}
    for viewers in numbers:
        if viewers > most:
            break
        sample = min(viewers, _SAMPLE)
        load = Load(players=viewers - sample, sample=sample, rate=1000, seconds=bench.seconds(4))
        trial = await bench.trial(result, server, load)
        if trial is not None:
            found[viewers] = trial
    return found


ADAPTIVE = Scenario(
    name="adaptive",
    title="The adaptive flush",
    summary="flush interval, latency and CPU from 1 to 10,000 viewers",
    run=_run,
)
