"""Two edge workers instead of one."""

from ..bench import Bench, Contender
from ..load import Load
from ..result import Goal, Result, cpu_per_player, ratio
from .base import STEADY_MS, Scenario, cost_table, fixed_interval

_LIMIT_RATIO = 2 / 1.8
_REPEATS = 3


async def _run(bench: Bench, result: Result) -> None:
    players = bench.players(1000)
    settings = fixed_interval(STEADY_MS)
    contenders = [
        Contender(
            name=name,
            server=bench.headwater(name, *settings, workers=workers),
            load=Load(
                players=workers * players,
                rate=1000,
                own_cores=False,  # for two workers there may be none, so neither has any
                seconds=bench.seconds(5),
            ),
        )
        for name, workers in (("one worker", 1), ("two workers, twice the players", 2))
    ]
    trials = await bench.compare(result, contenders, _REPEATS)
    result.tables.append(cost_table(trials))
    result.notes.append(f"An interval of {STEADY_MS:g} ms, whatever flushes cost.")
    one, two = (each.name for each in contenders)
    result.goals.append(
        Goal(
            text="CPU per player, two workers / one (1.8 x as many for 2 x the CPU)",
            value=ratio(trials[two], trials[one], cpu_per_player),
            limit=_LIMIT_RATIO,
        )
    )
    result.notes.append(
        "Generator and servers share the cores: what two workers carry shows in CPU per player."
    )


WORKERS = Scenario(
    name="workers",
    title="Two edge workers",
    summary="CPU per player of two workers beside that of one",
    run=_run,
)
