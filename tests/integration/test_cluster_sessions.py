"""One publish session over the workers of an edge that die one by one: no viewer sees a seam."""

import asyncio
import os
import signal
from contextlib import AsyncExitStack

import aiohttp
import pytest

from common.local.admin import fetch_status
from common.local.cluster import ClusterOptions, LocalCluster
from common.media.packet import HEADER_ROLES
from tests.support.publisher import Publisher, open_publisher
from tests.support.spine import FRAME_MS, STREAM, frame_name, make_frames, make_headers
from tests.support.wait import until
from tests.support.watcher import Watcher, watching

pytestmark = pytest.mark.integration

WORKERS = 3
FRAMES = 5_000  # more than the test lasts for
# All of it is one GOP, so that the cache covers every gap, however slow the machine is.
SETTINGS = ("supervisor.heartbeat_s=0.1", "gop.max_seconds=600", "gop.max_packets=10000")


async def send_all(publisher: Publisher) -> None:
    for tag in [*make_headers(), *make_frames("a", FRAMES, gop=FRAMES)]:
        publisher.send(tag)
        await asyncio.sleep(0.02)


def assert_whole(watcher: Watcher) -> None:
    """Check every message: the headers once, then each frame once, in order, at its own time."""
    roles = watcher.roles
    headers = [role for role in roles if role in HEADER_ROLES]
    assert roles[: len(headers)] == headers
    assert len(headers) == len(make_headers())
    count = len(roles) - len(headers)
    assert [frame_name(tag.payload) for tag in watcher.coded] == [f"a-{n}" for n in range(count)]
    assert [tag.timestamp for tag in watcher.coded] == [FRAME_MS * n for n in range(count)]
    assert not watcher.was_told_the_end


async def test_viewers_of_other_workers_see_no_seam_when_one_is_killed() -> None:
    options = ClusterOptions(origins=1, edges=1, workers=WORKERS, settings=SETTINGS)
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(LocalCluster(options, log=lambda line: None))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        origin, edge = cluster.origins[0].info, cluster.edges[0].info

        async def workers_with_viewers() -> set[int]:
            status = await fetch_status(http, edge.admin)
            return {each["pid"] for each in status["workers"] if each["viewers"]}

        watchers: list[Watcher] = []

        async def watch_until_spread() -> None:
            while len(await workers_with_viewers()) < WORKERS:
                playing = watching(f"rtmp://{edge.rtmp}/{STREAM}")
                watchers.append(await stack.enter_async_context(playing))
                await watchers[-1].until_more(3)
                assert len(watchers) < 200

        publisher = await open_publisher(f"rtmp://{origin.rtmp}/{STREAM}")
        sending = asyncio.ensure_future(send_all(publisher))
        stack.callback(sending.cancel)
        await watch_until_spread()
        for pid in await workers_with_viewers():  # one of them pulls the stream for all
            os.kill(pid, signal.SIGKILL)
            wanted = {each: len(each.tags) + 100 for each in watchers}
            await until(
                lambda wanted=wanted: all(
                    len(each.tags) >= count or each.player.closed.done()
                    for each, count in wanted.items()
                )
            )
            for each in watchers:
                assert_whole(each)
            before = len(watchers)
            watchers[:] = [each for each in watchers if not each.player.closed.done()]
            assert 0 < len(watchers) < before
            await watch_until_spread()
        assert not sending.done()
        publisher.close()
