"""Hundreds of players on one edge worker: nobody is dropped, and who stalls harms nobody else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import mean

import pytest

from common.local.cluster import ClusterOptions, LocalCluster
from tests.support.load_node import read_process
from tests.support.load_run import ErrorLog, edge_metrics, play, publishing

pytestmark = pytest.mark.integration

# Small buffers and limits: what takes the defaults 20 s takes these 4 s.
HASTY = ("fanout.unsent_bytes=16384", "fanout.lag_limit_ms=500", "fanout.kick_after_s=2")
MIB = 1 << 20


@asynccontextmanager
async def live_cluster(*settings: str) -> AsyncIterator[LocalCluster]:
    log = ErrorLog()
    options = ClusterOptions(origins=1, edges=1, workers=1, settings=settings)
    async with LocalCluster(options, log=log.take) as cluster, publishing(cluster):
        yield cluster
    assert log.errors == []


async def watch_memory(pid: int, rss: list[int]) -> None:
    while True:
        rss.append(read_process(pid).rss_bytes)
        await asyncio.sleep(0.25)


async def test_many_players_get_all_of_it_and_one_that_stalls_is_skipped_then_dropped() -> None:
    rss: list[int] = []
    async with live_cluster(*HASTY) as cluster:
        watching = asyncio.create_task(watch_memory(cluster.edges[0].info.workers[0], rss))
        players = await play(
            cluster, "--count", "300", "--seconds", "10", "--sample", "5", "--stalled", "1"
        )
        watching.cancel()
        metrics = await edge_metrics(cluster)
    assert players["errors"] == []
    assert players["started"] == 300
    assert all(sample["skips"] == 0 for sample in players["samples"])
    assert players["kbps"]["min"] > 0.8 * players["kbps"]["max"]
    assert metrics.value("headwater_skipped_gops_total") == 1
    assert metrics.value("headwater_disconnects_total", reason="too_slow") == 1
    assert players["stalled"] == [{"end": "closed by the server"}]
    third = len(rss) // 3
    assert mean(rss[-third:]) - mean(rss[-2 * third : -third]) < MIB


async def test_a_player_that_stalls_for_a_while_goes_on_at_a_keyframe() -> None:
    settings = (*HASTY, "fanout.kick_after_s=30")
    async with live_cluster(*settings) as cluster:
        players = await play(
            cluster, "--count", "3", "--sample", "3", "--stalled", "2", "--stall-for", "4",
            "--seconds", "8",
        )  # fmt: skip
        metrics = await edge_metrics(cluster)
    assert players["errors"] == []
    assert [stalled["skips"] for stalled in players["stalled"]] == [1, 1]
    assert [stalled["end"] for stalled in players["stalled"]] == ["", ""]
    assert metrics.value("headwater_disconnects_total", reason="too_slow") == 0
