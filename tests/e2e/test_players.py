"""Real encoders publish to an origin, real players play from both edges, and nothing is lost."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.e2e import Clip, Cluster, Node
from tests.support.media import assert_is_end_of, read_flv
from tests.support.tools import (
    Tool,
    decode,
    new_ffmpeg,
    publish_file,
    record,
    running,
    system_tool,
)
from tests.support.wait import until

pytestmark = pytest.mark.e2e

Recorder = Callable[[str, Path], list[str | Path]]


def by_new_ffmpeg(url: str, target: Path) -> list[str | Path]:
    return [new_ffmpeg(), *record(url, target)]


def by_debian_ffmpeg(url: str, target: Path) -> list[str | Path]:
    return [system_tool("ffmpeg"), *record(url, target)]


def by_rtmpdump(url: str, target: Path) -> list[str | Path]:
    return [system_tool("rtmpdump"), "--quiet", "--live", "-r", url, "-o", target]


def by_gstreamer(url: str, target: Path) -> list[str | Path]:
    gstreamer = system_tool("gst-launch-1.0")
    return [gstreamer, "-q", "rtmp2src", f"location={url}", "!", "filesink", f"location={target}"]


@asynccontextmanager
async def all_running(commands: Iterable[list[str | Path]]) -> AsyncIterator[list[Tool]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(running(*command)) for command in commands]


RECORDERS = [by_new_ffmpeg, by_debian_ffmpeg, by_rtmpdump, by_gstreamer]
ENHANCED = ["hevc_aac", "av1_opus"]  # only a new ffmpeg plays these


@dataclass(frozen=True)
class Take:
    """One recording to be made of a clip."""

    clip: Clip
    origin: Node
    edge: Node
    stream: str
    recorder: Recorder
    target: Path


def installed(recorder: Recorder) -> bool:
    try:
        recorder("", Path())
    except pytest.skip.Exception:
        return False
    return True


@pytest.fixture(scope="module")
def recordings(
    cluster: Cluster,
    h264_aac: Clip,
    hevc_aac: Clip,
    av1_opus: Clip,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, list[Path]]:
    """What all players at once recorded on both edges, by player or codecs."""
    folder = tmp_path_factory.mktemp("recordings")
    first, second = cluster.origins
    wanted = [(each.__name__, h264_aac, first, each) for each in RECORDERS if installed(each)]
    wanted += [
        ("hevc_aac", hevc_aac, first, by_new_ffmpeg),
        ("av1_opus", av1_opus, second, by_new_ffmpeg),
    ]
    takes = {
        name: [
            Take(
                clip=clip,
                origin=origin,
                edge=edge,
                stream=f"live/{clip.path.stem}",
                recorder=recorder,
                target=folder / f"{name}-{number}.flv",
            )
            for number, edge in enumerate(cluster.edges)
        ]
        for name, clip, origin, recorder in wanted
    }
    asyncio.run(make([take for each in takes.values() for take in each]))
    return {name: [take.target for take in each] for name, each in takes.items()}


async def make(takes: list[Take]) -> None:
    """Start all players, then all encoders, and wait until both have ended."""
    plays = [take.recorder(take.edge.url(take.stream), take.target) for take in takes]
    publishes = {
        take.stream: [new_ffmpeg(), *publish_file(take.clip.path, take.origin.url(take.stream))]
        for take in takes
    }
    async with all_running(plays) as players, all_running(publishes.values()) as publishers:
        for tool in publishers + players:
            await tool.succeeded()


async def check(clip: Clip, recorded: list[Path]) -> None:
    """Every recording holds every frame from a keyframe on, in sync, and decodes."""
    for recording in recorded:
        assert_is_end_of(clip.tags, read_flv(recording))
        async with running(new_ffmpeg(), *decode(recording)) as decoding:
            assert await decoding.succeeded() == ""


@pytest.mark.parametrize("recorder", RECORDERS)
async def test_players_on_both_edges_get_every_frame_in_sync(
    recordings: dict[str, list[Path]], h264_aac: Clip, recorder: Recorder
) -> None:
    if not installed(recorder):
        pytest.skip("not installed")
    await check(h264_aac, recordings[recorder.__name__])


@pytest.mark.parametrize("codecs", ENHANCED)
async def test_enhanced_rtmp_gets_through_frame_by_frame(
    recordings: dict[str, list[Path]], request: pytest.FixtureRequest, codecs: str
) -> None:
    await check(request.getfixturevalue(codecs), recordings[codecs])


@pytest.mark.parametrize("ffmpeg", ["new", "debian"])
async def test_ffmpeg_decodes_a_live_encoding_as_it_comes(
    cluster: Cluster, stream: str, ffmpeg: str
) -> None:
    program = new_ffmpeg() if ffmpeg == "new" else system_tool("ffmpeg")
    encode = [
        *("-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25"),
        *("-re", "-f", "lavfi", "-i", "sine=frequency=440"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p"),
        *("-c:a", "aac", "-t", "10", "-f", "flv", cluster.origins[0].url(stream)),
    ]
    plays = [[program, *decode(edge.url(stream), "-frames:v", "40")] for edge in cluster.edges]
    async with all_running(plays) as players, running(program, "-loglevel", "error", *encode):
        for player in players:
            assert await player.succeeded() == ""


async def test_gstreamer_decodes_what_it_plays(
    cluster: Cluster, stream: str, h264_aac: Clip
) -> None:
    pipeline = (
        f"rtmp2src location={cluster.edges[1].url(stream)} ! flvdemux name=tracks"
        " tracks.video ! queue ! h264parse ! avdec_h264 ! fakesink num-buffers=30"
        " tracks.audio ! queue ! avdec_aac ! fakesink num-buffers=30"
    )
    encoder = publish_file(h264_aac.path, cluster.origins[0].url(stream), loop=True)
    async with (
        running(new_ffmpeg(), *encoder),
        running(system_tool("gst-launch-1.0"), "-q", *pipeline.split()) as player,
    ):
        assert "ERROR" not in await player.succeeded()


async def test_every_split_of_a_long_path_finds_one_stream(
    cluster: Cluster, stream: str, h264_aac: Clip, tmp_path: Path
) -> None:
    # conformance 60: ffmpeg and librtmp split at different slashes, GStreamer at the last one.
    stream = f"{stream}/camera"
    app, _, name = stream.partition("/")
    url = cluster.edges[0].url(stream)
    explicit = ["--rtmp", cluster.edges[0].url(""), "--app", app, "--playpath", name]
    plays: dict[str, list[str | Path]] = {
        "librtmp": by_rtmpdump(url, tmp_path / "librtmp"),
        "explicit": [*by_rtmpdump(url, tmp_path / "explicit")[:3], *explicit],
        "gstreamer": by_gstreamer(url, tmp_path / "gstreamer"),
        "ffmpeg": by_debian_ffmpeg(url, tmp_path / "ffmpeg"),
    }
    plays["explicit"] += ["-o", tmp_path / "explicit"]
    encoder = publish_file(h264_aac.path, cluster.origins[1].url(stream), loop=True)
    async with all_running(plays.values()), running(new_ffmpeg(), *encoder):
        for split in plays:
            await until(lambda split=split: has_media(tmp_path / split))


def has_media(recording: Path) -> bool:
    return recording.exists() and recording.stat().st_size > 20_000
