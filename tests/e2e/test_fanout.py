"""How streams spread over a cluster: one pull per host, and a start at a keyframe for everyone."""

import sys
from collections.abc import Callable
from contextlib import AsyncExitStack

import aiohttp
import pytest

from common.local.admin import fetch_metrics, fetch_status
from common.media.packet import Role
from tests.support.e2e import Clip, Cluster, Node
from tests.support.publisher import Publisher, open_publisher
from tests.support.tools import new_ffmpeg, publish_file, running
from tests.support.wait import until
from tests.support.watcher import Watcher, watching

pytestmark = pytest.mark.e2e

MAX_PLAYERS = 100  # the kernel deals connections out by hash: so many miss one of 3 never


async def viewers_by_worker(session: aiohttp.ClientSession, node: Node) -> list[int]:
    status = await fetch_status(session, node.admin)
    return [worker["viewers"] for worker in status["workers"]]


async def test_viewers_on_every_worker_of_an_edge_cost_the_origin_one_relay(
    cluster: Cluster, stream: str, h264_aac: Clip
) -> None:
    origin, edge = cluster.origins[0], cluster.edges[0]
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        encoder = publish_file(h264_aac.path, origin.url(stream), loop=True)
        await stack.enter_async_context(running(new_ffmpeg(), *encoder))
        players: list[Watcher] = []

        async def all_are_counted() -> bool:
            counts = await viewers_by_worker(session, edge)
            return sum(counts) >= len(players)

        while len(players) < MAX_PLAYERS:
            players += [
                await stack.enter_async_context(watching(edge.url(stream))) for _ in range(6)
            ]
            await until(all_are_counted)
            if all(await viewers_by_worker(session, edge)):
                break
        for player in players:
            await player.until_more()

        async def one_relay() -> bool:
            metrics = await fetch_metrics(session, origin.admin)
            return metrics.value("headwater_viewers", kind="relay") == 1

        async def one_viewer_in_the_listing() -> bool:
            status = await fetch_status(session, origin.admin)
            return bool(status["streams"][stream]["viewers"] == 1)

        async def one_pull_besides_those_from_siblings() -> bool:
            metrics = await fetch_metrics(session, edge.admin)
            pulls = metrics.value("headwater_relays", state="streaming")
            return pulls == 1 + metrics.value("headwater_viewers", kind="sibling")

        # Nodes tell their figures once a second, each in its own time.
        await until(one_relay)
        await until(one_viewer_in_the_listing)
        await until(one_pull_besides_those_from_siblings)
        assert all(await viewers_by_worker(session, edge))


async def test_a_new_player_starts_with_metadata_headers_and_a_keyframe(
    cluster: Cluster,
    stream: str,
    h264_aac: Clip,
    record_property: Callable[[str, object], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    # conformance 78. No limits in time here: they are benched.
    encoder = publish_file(h264_aac.path, cluster.origins[0].url(stream), loop=True)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(new_ffmpeg(), *encoder))
        edge = cluster.edges[1]
        waiting = await stack.enter_async_context(watching(edge.url(stream)))
        await waiting.until(lambda: waiting.count(Role.KEYFRAME) > 0)
        pulled = await stack.enter_async_context(watching(cluster.edges[0].url(stream)))
        await pulled.until(lambda: pulled.count(Role.KEYFRAME) > 0)
        cached = await stack.enter_async_context(watching(cluster.edges[0].url(stream)))
        await cached.until(lambda: cached.count(Role.KEYFRAME) > 0)
        for name, player in (("pulled", pulled), ("second", cached)):
            time_s = player.player.first_keyframe_s
            assert time_s is not None
            record_property(f"first_keyframe_{name}_ms", round(time_s * 1000, 1))
            with capsys.disabled():
                sys.stdout.write(f"\nfirst keyframe, {name} player: {time_s * 1000:.1f} ms ")
        for player in (waiting, pulled, cached):
            roles = player.roles
            first = roles.index(Role.KEYFRAME)
            assert roles[0] is Role.METADATA
            assert {Role.VIDEO_HEADER, Role.AUDIO_HEADER} <= set(roles[:first])
            assert Role.FRAME not in roles[:first]


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(0xFFFFF000, id="wraps_after_4_s"),
        pytest.param(0xFFFFFE00, id="wraps_at_once"),
        pytest.param(0x00FFFE00, id="becomes_extended"),
        pytest.param(0x80000000 - 500, id="passes_the_sign_bit"),
    ],
)
async def test_a_stream_near_the_ends_of_its_clock_plays_on(
    cluster: Cluster, stream: str, h264_aac: Clip, start: int
) -> None:
    # conformance 19, 27
    async with AsyncExitStack() as stack:
        publisher = await open_publisher(cluster.origins[1].url(stream))
        stack.callback(publisher.close)
        url = cluster.edges[0].url(stream)
        watcher = await stack.enter_async_context(watching(url))
        options = ["-i", url, "-frames:v", "140", "-f", "null", "-"]
        ffmpeg = await stack.enter_async_context(
            running(new_ffmpeg(), "-loglevel", "error", *options)
        )
        await send_twice(publisher, h264_aac, start)
        source = h264_aac.coded
        await watcher.until(lambda: len(watcher.coded) >= 2 * len(source))
        assert await ffmpeg.succeeded() == ""
    expected = [tag.timestamp for tag in source]
    again = h264_aac.length_ms
    expected += [time + again for time in expected]
    got = [tag.timestamp for tag in watcher.coded]
    distance = got[0] - expected[0]
    assert [time - distance for time in got] == expected


async def send_twice(publisher: Publisher, clip: Clip, start: int) -> None:
    for offset in (0, clip.length_ms):
        await publisher.send_all(clip.tags, offset=start + offset, speed=3)
