"""What a connected player costs in memory."""

from ..bench import Bench, Contender
from ..load import Load
from ..result import Goal, Result, Table, descriptors, rss_mib, rss_per_player_kib, spread
from .base import Scenario, rows

_LIMIT_KIB = 4.0
_CACHES_FILL_S = 5.0
"""The last GOPs that a server keeps are no player's."""


async def _run(bench: Bench, result: Result) -> None:
    load = Load(
        players=bench.players(1000),
        rate=1000,
        sample=5,
        seconds=bench.seconds(2),
        quiet_s=_CACHES_FILL_S,
    )
    servers = [bench.headwater(), *bench.peers]
    contenders = [Contender(name=each.name, server=each, load=load) for each in servers]
    trials = await bench.compare(result, contenders, 1)
    headings = ("server", "RSS MiB", "KiB per player", "descriptors")
    readers = (rss_mib, rss_per_player_kib, descriptors)
    result.tables.append(Table(headings=headings, rows=rows(trials, readers)))
    ours = spread(trials["headwater"], rss_per_player_kib)
    result.goals.append(
        Goal(text="RSS per player of an edge worker", value=ours, limit=_LIMIT_KIB, unit="KiB")
    )


MEMORY = Scenario(
    name="memory",
    title="Memory of a player",
    summary="RSS per connected player, 1,000 players",
    run=_run,
)
