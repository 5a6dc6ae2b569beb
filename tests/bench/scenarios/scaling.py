"""The same number of players on one stream and on a hundred."""

from ..bench import Bench, Contender
from ..load import Load
from ..result import Goal, Result, cpu_per_player, ratio
from .base import STEADY_MS, Scenario, cost_table, fixed_interval

_STREAMS = 100
_LIMIT_RATIO = 1.5
_REPEATS = 3


async def _run(bench: Bench, result: Result) -> None:
    players = bench.players(1000)
    settings = fixed_interval(STEADY_MS)
    one = bench.headwater(f"1 x {players:,}", *settings)
    many = bench.headwater(f"{_STREAMS} x {players // _STREAMS:,}", *settings)
    sides = [(1, one), (_STREAMS, many)]
    sides += [(_STREAMS, each) for each in bench.interpreted(many.name, *settings)]
    contenders = [
        Contender(
            name=server.name,
            server=server,
            load=Load(
                players=players,
                streams=streams,
                rate=1000,
                sample=_STREAMS,  # so that each stream is there before the players come
                seconds=bench.seconds(5),
            ),
        )
        for streams, server in sides
    ]
    trials = await bench.compare(result, contenders, _REPEATS)
    result.tables.append(cost_table(trials))
    result.notes.append(f"An interval of {STEADY_MS:g} ms, whatever flushes cost.")
    result.goals.append(
        Goal(
            text=f"CPU per player, {many.name} / {one.name}",
            value=ratio(trials[many.name], trials[one.name], cpu_per_player),
            limit=_LIMIT_RATIO,
        )
    )


SCALING = Scenario(
    name="scaling",
    title="One stream, or a hundred",
    summary="cost per player does not grow with streams",
    run=_run,
)
