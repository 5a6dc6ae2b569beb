"""Publishers that come, go, crash and fight, and what viewers see of it."""

from contextlib import AsyncExitStack
from pathlib import Path
from time import monotonic

import pytest

from common.media.packet import Role
from common.rtmp.events import Refused
from tests.support.e2e import Clip, Cluster
from tests.support.media import assert_time_never_goes_back, of_type, read_flv, role_of
from tests.support.publisher import Publisher, open_publisher
from tests.support.tools import new_ffmpeg, publish_file, record, running
from tests.support.watcher import Watcher, watching

pytestmark = pytest.mark.e2e


def refusal(client: Publisher | Watcher) -> Refused:
    events = client.player.events if isinstance(client, Watcher) else client.events
    return next(event for event in events if isinstance(event, Refused))


async def test_viewers_stay_when_an_encoder_restarts_here_and_elsewhere(
    cluster: Cluster, stream: str, h264_aac: Clip, tmp_path: Path
) -> None:
    # conformance 68
    first, second = cluster.origins
    recording = tmp_path / "recording.flv"
    clip = h264_aac.tags
    async with AsyncExitStack() as stack:
        watcher = await stack.enter_async_context(watching(cluster.edges[0].url(stream)))
        command = record(cluster.edges[1].url(stream), recording)
        ffmpeg = await stack.enter_async_context(running(new_ffmpeg(), *command))

        encoder = publish_file(h264_aac.path, first.url(stream), loop=True)
        async with running(new_ffmpeg(), *encoder):  # killed when the block is left
            await watcher.until(lambda: watcher.count(Role.FRAME) > 30)
        starts = [len(watcher.tags)]
        crashing = await open_publisher(first.url(stream))
        await crashing.send_all(clip)
        crashing.abort()
        await watcher.until(lambda: watcher.tags[-1].payload == clip[-1].payload)
        starts.append(len(watcher.tags))
        last = await open_publisher(second.url(stream))
        await last.send_all(clip)
        last.close()
        await watcher.until_closed()
        await ffmpeg.succeeded()

    assert watcher.was_told_the_end  # once, after the grace period
    assert_time_never_goes_back(watcher.tags)
    for start in starts:
        video = of_type(watcher.tags[start:], 9)
        coded = [tag for tag in video if role_of(tag) in (Role.KEYFRAME, Role.FRAME)]
        assert role_of(coded[0]) is Role.KEYFRAME
        assert len(coded) >= len([t for t in h264_aac.coded if t.type_id == 9])
    recorded = read_flv(recording)
    assert_time_never_goes_back(recorded)
    assert len(of_type(recorded, 9)) >= len(of_type(clip, 9)) * 2


async def test_a_second_publisher_is_refused_where_the_policy_says_so(
    cluster: Cluster, stream: str, h264_aac: Clip
) -> None:
    # conformance 56
    stream = stream.replace("live/", "strict/")
    first, second = cluster.origins
    encoder = publish_file(h264_aac.path, first.url(stream), loop=True)
    async with running(new_ffmpeg(), *encoder) as holder:
        async with watching(cluster.edges[0].url(stream)) as watcher:
            await watcher.until(lambda: watcher.count(Role.KEYFRAME) > 0)
            for origin in (first, second):
                intruder = publish_file(h264_aac.path, origin.url(stream))
                async with running(new_ffmpeg(), *intruder) as ffmpeg:
                    code, text = await ffmpeg.ended()
                assert code != 0
                assert f"{stream} is already published" in text
            await watcher.until_more(50)
        assert holder.runs


async def test_a_second_publisher_takes_over_and_viewers_follow(
    cluster: Cluster, stream: str, h264_aac: Clip
) -> None:
    # conformance 56: on the same origin, then on the other one
    async with AsyncExitStack() as stack:
        encoder = publish_file(h264_aac.path, cluster.origins[0].url(stream), loop=True)
        former = await stack.enter_async_context(running(new_ffmpeg(), *encoder))
        watcher = await stack.enter_async_context(watching(cluster.edges[1].url(stream)))
        await watcher.until(lambda: watcher.count(Role.KEYFRAME) > 0)
        for origin in cluster.origins:
            encoder = publish_file(h264_aac.path, origin.url(stream), loop=True)
            newer = await stack.enter_async_context(running(new_ffmpeg(), *encoder))
            code, _ = await former.ended()
            assert code != 0
            keyframes = watcher.count(Role.KEYFRAME)
            await watcher.until(lambda wanted=keyframes + 2: watcher.count(Role.KEYFRAME) >= wanted)
            former = newer
        assert_time_never_goes_back(watcher.tags)
        assert not watcher.was_told_the_end


async def test_an_edge_tells_encoders_where_to_go(
    cluster: Cluster, stream: str, h264_aac: Clip
) -> None:
    url = cluster.edges[0].url(stream)
    async with running(new_ffmpeg(), *publish_file(h264_aac.path, url)) as ffmpeg:
        code, text = await ffmpeg.ended()
    assert code != 0
    assert "publish to an origin" in text
    publisher = await open_publisher(url)
    assert refusal(publisher).code == "NetStream.Publish.Denied"


async def test_an_unknown_stream_is_not_found_after_the_hold_time(
    cluster: Cluster, stream: str
) -> None:
    # conformance 65
    began = monotonic()
    async with watching(cluster.edges[0].url(stream)) as watcher:
        await watcher.until_closed()
    assert monotonic() - began > 1
    assert refusal(watcher).code == "NetStream.Play.StreamNotFound"
    assert not watcher.tags


async def test_a_viewer_that_comes_early_is_served_when_the_publisher_comes(
    cluster: Cluster, stream: str, h264_aac: Clip
) -> None:
    async with watching(cluster.edges[0].url(stream)) as watcher:
        publisher = await open_publisher(cluster.origins[1].url(stream))
        await publisher.send_all(h264_aac.tags)
        await watcher.until(lambda: len(watcher.coded) == len(h264_aac.coded))
        publisher.close()


async def test_no_header_of_a_former_codec_is_left_after_a_republish(
    cluster: Cluster, stream: str, h264_aac: Clip, hevc_aac: Clip
) -> None:
    # conformance 82
    url = cluster.edges[0].url(stream)
    async with watching(url) as faithful:
        for clip in (h264_aac, hevc_aac):
            publisher = await open_publisher(cluster.origins[0].url(stream))
            wanted = len(faithful.coded) + len(clip.coded)
            await publisher.send_all(clip.tags)
            await faithful.until(lambda wanted=wanted: len(faithful.coded) >= wanted)
            if clip is h264_aac:
                publisher.close()
        async with watching(url) as newcomer:
            await newcomer.until(lambda: newcomer.count(Role.KEYFRAME) > 0)
        publisher.close()
    new_headers = [t.payload for t in hevc_aac.tags if role_of(t) is Role.VIDEO_HEADER]
    got = [t.payload for t in newcomer.tags if role_of(t) is Role.VIDEO_HEADER]
    assert got == new_headers
    start = faithful.tags.index(next(t for t in faithful.tags if t.payload == new_headers[0]))
    assert {t.payload for t in faithful.tags[start:]} >= {t.payload for t in hevc_aac.coded}
