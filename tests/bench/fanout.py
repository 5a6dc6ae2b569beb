"""Fan-out: one edge worker, many players of one stream.

    python -m tests.bench.fanout --players 1000 --seconds 60 --stalled 1

The publisher, the players, origin and edge share the machine, so figures are upper bounds; what
the rest of the machine used meanwhile is printed with them. Exits with 1 when players were dropped,
got wrong data, or a stalled player was not treated as promised.
"""

import argparse
import asyncio
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.local.cluster import ClusterOptions, LocalCluster
from tests.bench.report import Figure, report
from tests.support.load_node import Metrics, ProcessFigures, machine_busy_s, read_process
from tests.support.load_run import ErrorLog, edge_metrics, play, publishing

_WARM_UP_S = 2.0
_MIB = 1 << 20


@dataclass(slots=True)
class Watch:
    """What the edge worker used while all played."""

    idle_rss: int = 0
    seconds: float = 0.0
    first: ProcessFigures | None = None
    last: ProcessFigures | None = None
    rss: list[int] = field(default_factory=list)  # once a second
    machine_s: float = 0.0
    before: Metrics | None = None
    after: Metrics | None = None
    at_end: Metrics | None = None  # when the players have left


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fanout", description=__doc__)
    parser.add_argument("--players", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--stalled", type=int, default=0, help="more players, who stop reading")
    parser.add_argument("--sample", type=int, default=5)
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    watch, log = Watch(), ErrorLog()
    players = asyncio.run(_run(arguments, watch, log))
    return report(
        f"fan-out to {arguments.players} players, {arguments.seconds:g} s",
        _figures(players, watch, arguments.players),
        failures(players, watch, arguments.stalled) + log.errors,
        {"players": players, "rss_bytes": watch.rss, "settings": arguments.set},
        arguments.json,
    )


async def _run(arguments: argparse.Namespace, watch: Watch, log: ErrorLog) -> dict[str, Any]:
    options = ClusterOptions(origins=1, edges=1, workers=1, settings=tuple(arguments.set))
    async with LocalCluster(options, log=log.take) as cluster, publishing(cluster):
        worker = cluster.edges[0].info.workers[0]
        # One player first: with the stream there, the rest of the memory is the players'.
        await play(cluster, "--count", "1", "--seconds", "2")
        watch.idle_rss = read_process(worker).rss_bytes
        watching = asyncio.create_task(_watch(cluster, worker, arguments, watch))
        try:
            return await play(
                cluster,
                *("--count", str(arguments.players)),
                *("--seconds", str(arguments.seconds + 2 * _WARM_UP_S)),
                *("--stalled", str(arguments.stalled)),
                *("--sample", str(arguments.sample)),
            )
        finally:
            watching.cancel()
            await asyncio.wait({watching})
            watch.at_end = await edge_metrics(cluster)


async def _watch(
    cluster: LocalCluster, worker: int, arguments: argparse.Namespace, watch: Watch
) -> None:
    """Take the worker's figures, from when all play."""
    loop = asyncio.get_running_loop()
    wanted = arguments.players + arguments.stalled
    while await _viewers(cluster) < wanted:  # noqa: ASYNC110 # only a scrape tells
        await asyncio.sleep(0.5)
    await asyncio.sleep(_WARM_UP_S)
    watch.before = await edge_metrics(cluster)
    watch.first = read_process(worker)
    busy, began = machine_busy_s(), loop.time()
    while loop.time() - began < arguments.seconds:
        watch.rss.append(read_process(worker).rss_bytes)
        await asyncio.sleep(min(1.0, began + arguments.seconds - loop.time()))
    watch.last = read_process(worker)
    watch.seconds = loop.time() - began
    watch.machine_s = machine_busy_s() - busy
    watch.after = await edge_metrics(cluster)


def _figures(players: dict[str, Any], watch: Watch, count: int) -> list[Figure]:
    lag, latency = players["lag_ms"] or {}, players["latency_ms"] or {}
    first_frame = players["first_frame_ms"] or {}
    figures = [
        Figure(name="players dropped", value=_dropped(players), unit="", below=1),
        Figure(name="lag p50, all players", value=lag.get("p50"), unit="ms"),
        Figure(name="lag p99", value=lag.get("p99"), unit="ms"),
        Figure(name="lag max", value=lag.get("max"), unit="ms", below=500),
        Figure(name="longest time without a byte", value=players["longest_gap_ms"], unit="ms"),
        Figure(name="latency p50, sampled players", value=latency.get("p50"), unit="ms"),
        Figure(name="latency p99", value=latency.get("p99"), unit="ms"),
        Figure(name="first frame p50", value=first_frame.get("p50"), unit="ms", below=100),
        Figure(name="first frame p99", value=first_frame.get("p99"), unit="ms", below=100),
        Figure(name="first frame max", value=first_frame.get("max"), unit="ms"),
        Figure(name="slowest player", value=players["kbps"]["min"], unit="kbit/s"),
        Figure(name="fastest player", value=players["kbps"]["max"], unit="kbit/s"),
    ]
    if watch.first is None or watch.last is None or not watch.rss:
        return figures
    used = 100 / watch.seconds
    user = (watch.last.user_s - watch.first.user_s) * used
    system = (watch.last.system_s - watch.first.system_s) * used
    grown = watch.rss[-1] - watch.rss[0]
    rounds, interval, cost = _flushes(watch)
    return [
        *figures,
        Figure(name="worker CPU", value=user + system, unit="% of a core"),
        Figure(name="worker CPU, user", value=user, unit="% of a core"),
        Figure(name="worker CPU, system", value=system, unit="% of a core"),
        Figure(name="whole machine", value=watch.machine_s * used, unit="% of a core"),
        Figure(name="players' CPU", value=players["own_cpu_share"] * 100, unit="% of a core"),
        Figure(
            name="memory per player",
            value=(watch.rss[0] - watch.idle_rss) / count / 1024,
            unit="KiB",
            below=4,
        ),
        Figure(name="worker memory", value=watch.rss[-1] / _MIB, unit="MiB"),
        Figure(name="worker memory, growth", value=grown / _MIB, unit="MiB"),
        Figure(name="flushes", value=rounds / watch.seconds, unit="per s"),
        Figure(name="flush interval, mean", value=interval * 1000, unit="ms"),
        Figure(name="flush cost, mean", value=cost * 1000, unit="ms"),
    ]


def failures(players: dict[str, Any], watch: Watch, stalled: int) -> list[str]:
    """Return what was not correct."""
    found = list(players["errors"])
    if watch.after is None:
        found.append("not all played for the whole time")
    if not stalled or watch.at_end is None:
        return found
    skipped = watch.at_end.value("headwater_skipped_gops_total")
    kicked = watch.at_end.value("headwater_disconnects_total", reason="too_slow")
    if skipped != stalled:
        found.append(f"{skipped:g} skips for {stalled} stalled players")
    if kicked != stalled:
        found.append(f"{kicked:g} of {stalled} stalled players were disconnected")
    return found


async def _viewers(cluster: LocalCluster) -> float:
    return (await edge_metrics(cluster)).value("headwater_viewers", kind="player")


def _dropped(players: dict[str, Any]) -> int:
    gone: dict[str, int] = players["disconnected"] | players["failed"]
    return sum(gone.values())


def _flushes(watch: Watch) -> tuple[float, float, float]:
    """Return (rounds, mean interval, mean cost) between the two scrapes."""
    before, after = watch.before, watch.after
    if before is None or after is None:
        return 0.0, 0.0, 0.0

    def grown(name: str) -> float:
        return after.value(name) - before.value(name)

    rounds = grown("headwater_flush_duration_seconds_count") or 1.0
    interval = grown("headwater_flush_interval_seconds_sum") / rounds
    return rounds, interval, grown("headwater_flush_duration_seconds_sum") / rounds


if __name__ == "__main__":
    sys.exit(main())
