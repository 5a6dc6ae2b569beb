"""The image, run as the chart runs it: a cluster whose every node is replaced under load.

Run by tests/image/run.py in a network namespace with an engine of its own.
"""

import asyncio
import itertools
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest

from common.local import ffmpeg
from common.local.ffmpeg import FfmpegProcess, find_ffmpeg
from tests.image.balancer import INGEST, OF_ONE, PLAY, balancing
from tests.image.build import IMAGE
from tests.image.containers import ADDRESSES, EDGES, ORIGINS, Containers, docker
from tests.image.say import say
from tests.support.encoder import encoding, picture_published
from tests.support.wait import until
from tests.support.watcher import Watcher, watching

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        "HEADWATER_IMAGE_TEST_FOLDER" not in os.environ, reason="run by `make image-test`"
    ),
]

VIEWERS = 4  # of each stream at each edge; all in one Python, which looks at every message
MADE_UP = ("live/one", "live/two", "live/three")
PICTURE = "live/picture"
CANNOT = {"capsEx": 0.0}  # players that no reconnect request moves: the harder case


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Containers]:
    containers = Containers(tmp_path)
    containers.folder.chmod(0o755)
    try:
        await containers.start()
        async with balancing(tmp_path):
            await until_balanced()
            yield containers
    finally:
        containers.stop()


async def until_balanced() -> None:
    """Wait until the balancer hands connections on: one that it cannot place, it closes at once."""

    async def hands_on(address: str) -> bool:
        host, port = address.split(":")
        with suppress(OSError, asyncio.TimeoutError):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                async with asyncio.timeout(0.3):
                    return bool(await reader.read(1))  # EOF
            except TimeoutError:
                return True  # a node waits for our handshake
            finally:
                writer.close()
        return False

    for address in (INGEST, PLAY, *OF_ONE.values()):
        await until(lambda address=address: hands_on(address), 30)  # type: ignore[misc] # bound


def test_the_image_is_as_it_should_be() -> None:
    (image,) = json.loads(docker("image", "inspect", IMAGE))
    config = image["Config"]
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["headwater"]  # no shell between the engine and us
    assert config["StopSignal"] == "SIGTERM"
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    run = ("run", "--rm", "--network=none", "--read-only", "--cap-drop=ALL")
    said = docker(*run, IMAGE, "version")
    assert said.startswith("headwater ")
    assert said.endswith(" (compiled)")
    inside = docker(*run, "--entrypoint=python", IMAGE, "-c", LOOK_INSIDE)
    assert json.loads(inside) == {"pip": False, "compilers": [], "writable": [], "bytecode": True}


LOOK_INSIDE = """
import importlib.util, json, os, pathlib, shutil
here = pathlib.Path("/opt/headwater")
common = pathlib.Path(importlib.util.find_spec("common").origin).parent
print(json.dumps({
    "pip": importlib.util.find_spec("pip") is not None,
    "compilers": [tool for tool in ("gcc", "cc", "make") if shutil.which(tool)],
    "writable": [str(path) for path in here.rglob("*") if os.access(path, os.W_OK)
                 and not path.is_symlink()],
    "bytecode": (common / "__pycache__").is_dir(),
}))
"""


async def test_a_container_has_the_rights_that_the_chart_gives_and_no_more(
    cluster: Containers,
) -> None:
    for name in (*ORIGINS, *EDGES):
        status = cluster.process_status(name)
        assert status["Uid"].split() == ["10001"] * 4
        assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"
        assert docker("inspect", "--format={{.HostConfig.ReadonlyRootfs}}", name) == "true"
        assert await cluster.ask(name, "/livez") == 200
        assert docker("exec", name, "headwater", "healthcheck")


async def test_the_probe_of_helm_test_passes_and_the_balancer_tells_addresses(
    cluster: Containers,
) -> None:
    # Straight from a container, as a pod of the chart's test would come: no header, no balancer.
    origin, edge = (f"rtmp://{ADDRESSES[name]}:1935/live/probe" for name in ("origin-1", "edge-2"))
    told = docker("run", "--rm", "--network=cluster", IMAGE, "probe", origin, edge)
    assert "frames published and played" in told
    async with encoding([INGEST], "live/one"):
        rows = json.loads(docker("exec", "edge-1", "headwater", "streams", "--json"))["streams"]
        (row,) = [row for row in rows if row["stream"].endswith("live/one")]
        assert row["publisher"].startswith("127.0.0.1")  # behind the balancer, which is .1
    # What the balancer and the kubelet ask left no trace in the log.
    for name in (*ORIGINS, *EDGES):
        assert "handshake" not in cluster.log(name)


async def test_every_node_is_replaced_under_load_and_no_viewer_of_another_edge_is_cut(
    cluster: Containers,
) -> None:
    async with AsyncExitStack() as stack:
        for stream in MADE_UP:
            await stack.enter_async_context(encoding([INGEST], stream))
        await stack.enter_async_context(picture_published(f"rtmp://{INGEST}/{PICTURE}"))
        players = {name: await stack.enter_async_context(picture_played(name)) for name in EDGES}
        for player in players.values():
            await until(lambda player=player: player.frames > 0, 60)  # type: ignore[misc] # bound
        crowd = {name: await join(stack, name) for name in EDGES}

        for name in ORIGINS:
            viewers = [each for one in crowd.values() for each in one]
            await replace(cluster, name, viewers, list(players.values()))
        for name in EDGES:
            (other,) = set(EDGES) - {name}
            await replace(cluster, name, crowd[other], [players[other]])
            for each in crowd[name]:
                await each.until_closed()  # by the end of its edge
            crowd[name] = await join(stack, name)
            players[name] = await stack.enter_async_context(picture_played(name))

        for watchers in crowd.values():
            for each in watchers:
                assert_played_on(each)
    assert_clean(cluster)


async def replace(
    cluster: Containers, name: str, unmoved: list[Watcher], playing: list[FfmpegProcess]
) -> None:
    """End a node and start it anew; whoever of the others does not play on fails the test."""
    ending = await cluster.end(name)
    say(
        f"{name} ended {ending.seconds:.1f} s after SIGTERM "
        f"(drain {ending.drain_s} s, grace {ending.grace_s} s)"
    )
    assert ending.code == 0, cluster.ended_logs[-1]
    assert ending.seconds < ending.drain_s + 5
    for each in unmoved:
        await each.until_more(20)
    cluster.run_node(name)
    await cluster.until_ready(name)
    await until_balanced()
    for each in unmoved:
        await each.until_more(20)
        assert_played_on(each)
    for player in playing:
        frames = player.frames
        await until(lambda player=player, frames=frames: player.frames > frames)  # type: ignore[misc] # bound
        assert player.exit_code is None, player.explain()


def assert_played_on(watcher: Watcher) -> None:
    assert not watcher.player.closed.done()
    assert not watcher.was_told_the_end
    times = [tag.timestamp for tag in watcher.coded]
    assert all(before <= after for before, after in itertools.pairwise(times))


async def join(stack: AsyncExitStack, edge: str) -> list[Watcher]:
    """Have viewers of all made-up streams join an edge."""
    joined = [
        await stack.enter_async_context(watching(f"rtmp://{OF_ONE[edge]}/{stream}", CANNOT))
        for stream in MADE_UP
        for _ in range(VIEWERS)
    ]
    for each in joined:
        await each.until_more(5)
    return joined


@asynccontextmanager
async def picture_played(edge: str) -> AsyncIterator[FfmpegProcess]:
    """Decode the picture with ffmpeg."""
    player = FfmpegProcess(find_ffmpeg(), ffmpeg.decode(f"rtmp://{OF_ONE[edge]}/{PICTURE}"))
    await player.start()
    try:
        yield player
    finally:
        await player.stop()


def assert_clean(cluster: Containers) -> None:
    """Fail when a node has logged an error, or anything that is no JSON."""
    logs = [*cluster.ended_logs, *map(cluster.log, (*ORIGINS, *EDGES))]
    for line in itertools.chain.from_iterable(log.splitlines() for log in logs):
        record = json.loads(line)
        assert record["level"] not in ("error", "critical"), line
