"""Latency: from publisher to player through origin and edge, and to a player's first picture.

    python -m tests.bench.latency

All on one machine, so that one clock measures both ends. Exits with 1 when a player got wrong data.
"""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

from common.local.cluster import ClusterOptions, LocalCluster
from tests.bench.report import Figure, report
from tests.support.load_crowd import percentiles
from tests.support.load_run import ErrorLog, edge_metrics, play, publishing

_LINGER_S = 0.05  # of pulls without viewers, so that the next player needs a new one


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.latency", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of the player whose data is")
    parser.add_argument("--starts", type=int, default=50, help="players who find the stream there")
    parser.add_argument("--pulls", type=int, default=10, help="players who wait for the pull")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    log = ErrorLog()
    steady, cached, pulled = asyncio.run(_run(arguments, log))
    runs = [steady, cached, *pulled]
    return report(
        "latency of one player, and first pictures",
        _figures(steady, cached, pulled),
        [error for run in runs for error in run["errors"]] + log.errors,
        {"steady": steady, "cached": cached, "pulled": pulled},
        arguments.json,
    )


async def _run(
    arguments: argparse.Namespace, log: ErrorLog
) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    options = ClusterOptions(
        origins=1, edges=1, workers=1, settings=(f"edge.linger_s={_LINGER_S}",)
    )
    async with LocalCluster(options, log=log.take) as cluster, publishing(cluster):
        pulled = []
        for _ in range(arguments.pulls):
            pulled.append(await play(cluster, "--count", "1", "--seconds", "0.2"))
            await _until_not_pulled(cluster)
        count = str(arguments.starts + 1)
        cached = await play(cluster, "--count", count, "--rate", "20", "--seconds", "0.2")
        steady = await play(cluster, "--count", "1", "--seconds", str(arguments.seconds))
    return steady, cached, pulled


async def _until_not_pulled(cluster: LocalCluster) -> None:
    while (await edge_metrics(cluster)).value("headwater_relays"):  # noqa: ASYNC110 # only a scrape tells
        await asyncio.sleep(0.1)


def _figures(
    steady: dict[str, Any], cached: dict[str, Any], pulled: list[dict[str, Any]]
) -> list[Figure]:
    latency = steady["latency_ms"] or {}
    on_edge = cached["first_frame_ms"] or {}
    waits = [run["first_frame_of_first_ms"] for run in pulled]
    through_pull = percentiles([each for each in waits if each is not None]) or {}
    return [
        Figure(name="publish to player p50", value=latency.get("p50"), unit="ms"),
        Figure(name="publish to player p99", value=latency.get("p99"), unit="ms", below=10),
        Figure(name="publish to player max", value=latency.get("max"), unit="ms"),
        Figure(name="first picture, on the edge, p50", value=on_edge.get("p50"), unit="ms"),
        Figure(
            name="first picture, on the edge, max", value=on_edge.get("max"), unit="ms", below=100
        ),
        Figure(name="first picture, pulled, p50", value=through_pull.get("p50"), unit="ms"),
        Figure(
            name="first picture, pulled, max", value=through_pull.get("max"), unit="ms", below=300
        ),
    ]


if __name__ == "__main__":
    sys.exit(main())
