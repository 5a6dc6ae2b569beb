"""Streams that lack a track or bring it late, and viewers that do not want one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import pytest

from common.media.flv_file import FlvTag
from common.media.packet import Role
from tests.support.e2e import Clip, Cluster
from tests.support.media import AUDIO, VIDEO, role_of
from tests.support.publisher import open_publisher
from tests.support.tools import QUIET, new_ffmpeg, running
from tests.support.watcher import Watcher, watching

pytestmark = pytest.mark.e2e

Tags = list[FlvTag]

LATE_MS: Final = 2000

PROBE: Final = "-analyzeduration"
"""For how long ffmpeg looks for more tracks before it shows what it has; by itself 5 s or more."""

VIDEO_ROLES: Final = {Role.VIDEO_HEADER, Role.KEYFRAME, Role.FRAME, Role.END}
HEADERS: Final = {Role.VIDEO_HEADER, Role.AUDIO_HEADER}


@asynccontextmanager
async def published(url: str, tags: Tags) -> AsyncIterator[None]:
    """Publish ``tags`` again and again, at twice their pace."""

    async def send_for_ever() -> None:
        offset = 0
        while True:
            await publisher.send_all(tags, offset=offset, speed=2)
            offset += max(tag.timestamp for tag in tags) + 40

    publisher = await open_publisher(url)
    sending = asyncio.create_task(send_for_ever())
    try:
        yield
    finally:
        sending.cancel()
        await asyncio.wait({sending})
        publisher.close()


def video_only(clip: Tags) -> Tags:
    return [tag for tag in clip if tag.type_id == VIDEO]


def audio_only(clip: Tags) -> Tags:
    return [tag for tag in clip if tag.type_id == AUDIO]


def video_late(clip: Tags) -> Tags:
    """Audio comes 2 s before video, as from some cameras."""
    late = [tag._replace(timestamp=tag.timestamp + LATE_MS) for tag in video_only(clip)]
    return sorted(late + audio_only(clip), key=lambda tag: tag.timestamp)


def audio_missing(clip: Tags) -> Tags:
    """The metadata promise audio, and none comes."""
    assert b"audiocodecid" in clip[0].payload
    return [tag for tag in clip if tag.type_id != AUDIO]


@pytest.mark.parametrize(
    ("choose", "probe_us", "wanted"),
    [
        (video_only, "1000000", ["-map", "0:v", "-frames:v", "25"]),
        (audio_only, "1000000", ["-map", "0:a", "-frames:a", "25"]),
        (
            video_late,
            "3000000",
            ["-map", "0:v", "-map", "0:a", "-frames:v", "25", "-frames:a", "25"],
        ),
        (audio_missing, "1000000", ["-map", "0:v", "-frames:v", "25"]),
    ],
)
async def test_streams_play_whatever_tracks_they_have(
    cluster: Cluster,
    stream: str,
    h264_aac: Clip,
    choose: Callable[[Tags], Tags],
    probe_us: str,
    wanted: list[str],
) -> None:
    # conformance 81
    tags = choose(h264_aac.tags)
    url = cluster.edges[0].url(stream)
    async with (
        published(cluster.origins[0].url(stream), tags),
        running(
            new_ffmpeg(), *QUIET, PROBE, probe_us, "-i", url, *wanted, "-f", "null", "-"
        ) as ffmpeg,
        watching(url) as watcher,
    ):
        expected = {role_of(tag) for tag in tags} & HEADERS
        await watcher.until(lambda: set(watcher.roles) >= expected and len(watcher.coded) >= 25)
        assert await ffmpeg.succeeded() == ""
    assert set(watcher.roles) & HEADERS == expected


async def test_a_paused_player_goes_on_at_a_keyframe_with_headers(
    cluster: Cluster, stream: str, h264_aac: Clip
) -> None:
    # conformance 67
    url = cluster.edges[0].url(stream)
    async with (
        published(cluster.origins[0].url(stream), h264_aac.tags),
        watching(url) as watcher,
        watching(url) as other,
    ):
        await watcher.until(lambda: watcher.count(Role.FRAME) > 5)
        watcher.say("pause", True, 0)
        await until_quiet(watcher, other)
        resumed = len(watcher.tags)
        watcher.say("pause", False, 0)
        await watcher.until_more(30)
    check_resumed(watcher.roles[resumed:])


async def test_a_player_turns_video_off_and_on_again(
    cluster: Cluster, stream: str, h264_aac: Clip
) -> None:
    # conformance 67
    url = cluster.edges[1].url(stream)
    async with (
        published(cluster.origins[0].url(stream), h264_aac.tags),
        watching(url) as watcher,
    ):
        await watcher.until(lambda: watcher.count(Role.FRAME) > 5)
        watcher.say("receiveVideo", False)
        await watcher.until(lambda: not VIDEO_ROLES & set(watcher.roles[-30:]))
        turned_on = len(watcher.tags)
        watcher.say("receiveVideo", True)
        await watcher.until(lambda: watcher.roles[turned_on:].count(Role.FRAME) > 5)
    video = [role for role in watcher.roles[turned_on:] if role in VIDEO_ROLES]
    assert video[:2] == [Role.VIDEO_HEADER, Role.KEYFRAME]


async def until_quiet(watcher: Watcher, other: Watcher) -> None:
    """Wait until nothing more comes for one while another has had a second of the stream."""
    before = -1
    while len(watcher.tags) != before:
        before = len(watcher.tags)
        await other.until_more(60)


def check_resumed(roles: list[Role]) -> None:
    first = roles.index(Role.KEYFRAME)
    assert set(roles[:first]) >= HEADERS
    assert Role.FRAME not in roles[:first]
