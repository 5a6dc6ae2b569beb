"""The same number of players on one stream and on a hundred."""

from ..bench import Bench, Contender
from ..load import Load
from ..result import Goal, Result, cpu_per_player, ratio
from ..servers.headwater import Headwater
from .base import STEADY_MS, Scenario, cost_table, fixed_interval

_STREAMS = 100
_LIMIT_RATIO = 1.5
_REPEATS = 3


async def _run(bench: Bench, result: Result) -> None:
    players = bench.players(1000)
    settings = (*fixed_interval(STEADY_MS), *bench.options.settings)
    contenders = [
        Contender(
            name=(name := f"{streams} x {players // streams:,}"),
            server=Headwater(name, *settings),
            load=Load(
                players=players,
                streams=streams,
                rate=1000,
                sample=_STREAMS,  # so that each stream is there before the players come
                seconds=bench.seconds(5),
            ),
        )
        for streams in (1, _STREAMS)
    ]
    trials = await bench.compare(result, contenders, _REPEATS)
    result.tables.append(cost_table(trials))
    result.notes.append(f"An interval of {STEADY_MS:g} ms, whatever flushes cost.")
    one, many = (each.name for each in contenders)
    result.goals.append(
        Goal(
            text=f"CPU per player, {many} / {one}",
            value=ratio(trials[many], trials[one], cpu_per_player),
            limit=_LIMIT_RATIO,
        )
    )


SCALING = Scenario(
    name="scaling",
    title="One stream, or a hundred",
    summary="cost per player does not grow with streams",
    run=_run,
)
