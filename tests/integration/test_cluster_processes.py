"""One relay per edge host and stream, counted at the origin, with real worker processes."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest

from common.local.admin import fetch_metrics, fetch_status
from common.local.cluster import ClusterOptions, LocalCluster
from tests.support.publisher import Publisher, open_publisher
from tests.support.spine import STREAM, make_frames, make_headers
from tests.support.wait import until
from tests.support.watcher import Watcher, watching

pytestmark = pytest.mark.integration

WORKERS = 3


@pytest.fixture
async def cluster() -> AsyncIterator[LocalCluster]:
    options = ClusterOptions(
        origins=1, edges=1, workers=WORKERS, settings=("supervisor.heartbeat_s=0.1",)
    )
    async with LocalCluster(options, log=lambda line: None) as cluster:
        yield cluster


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def send_for_ever(publisher: Publisher) -> None:
    for tag in make_headers():
        publisher.send(tag)
    number = 0
    while True:
        publisher.send(make_frames("a", 1 + number % 5, first=number - number % 5)[-1])
        number += 1
        await asyncio.sleep(0.02)


async def goes_on_or_is_closed(watcher: Watcher) -> None:
    wanted = len(watcher.tags) + 50
    await until(lambda: len(watcher.tags) >= wanted or watcher.player.closed.done())


async def test_one_relay_per_host_whatever_becomes_of_its_workers(
    cluster: LocalCluster, http: aiohttp.ClientSession
) -> None:
    origin, edge = cluster.origins[0].info, cluster.edges[0].info

    async def relays() -> float:
        page = await fetch_metrics(http, origin.admin)
        return page.value("headwater_viewers", kind="relay")

    async def workers_with_viewers() -> dict[int, int]:
        status = await fetch_status(http, edge.admin)
        return {each["pid"]: each["viewers"] for each in status["workers"] if each["viewers"]}

    async def every_worker_has_viewers() -> bool:
        return len(await workers_with_viewers()) == WORKERS

    async def is_one_relay() -> bool:
        return await relays() == 1

    publisher = await open_publisher(f"rtmp://{origin.rtmp}/{STREAM}")
    sending = asyncio.ensure_future(send_for_ever(publisher))
    async with AsyncExitStack() as stack:
        watchers: list[Watcher] = []

        async def watch_until_spread() -> None:
            while not await every_worker_has_viewers():
                playing = watching(f"rtmp://{edge.rtmp}/{STREAM}")
                watchers.append(await stack.enter_async_context(playing))
                await watchers[-1].until_more(2)
                assert len(watchers) < 200

        await watch_until_spread()
        await until(is_one_relay)  # the origin tells its figures once a second
        for pid in await workers_with_viewers():  # one of them pulls the stream for all
            os.kill(pid, signal.SIGKILL)
            await asyncio.gather(*map(goes_on_or_is_closed, watchers))
            before = len(watchers)
            watchers[:] = [each for each in watchers if not each.player.closed.done()]
            assert 0 < len(watchers) < before
            await watch_until_spread()
            await until(is_one_relay)
        assert not any(each.was_told_the_end for each in watchers)
    sending.cancel()
    publisher.close()
