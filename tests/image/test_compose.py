"""docker/compose.yaml does what it promises: one command, and a cluster is there.

Run by tests/image/run.py in a network namespace with an engine of its own. Grafana is left out, as
its program cannot be had; what it would read is checked against the Prometheus of the cluster.
"""

import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Final

import pytest

from common.local import ffmpeg
from common.local.ffmpeg import FfmpegProcess, find_ffmpeg
from tests.image.compose import FILES, LEFT_OUT, NODES, SERVICES, Compose, ask_prometheus
from tests.image.dashboard import Files, queries
from tests.image.say import say
from tests.support.wait import until

FOLDER = Path(os.environ.get("HEADWATER_IMAGE_TEST_FOLDER", "/nonexistent"))
pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not (FOLDER / "compose").is_dir(), reason="run by `make image-test`, with docker compose"
    ),
]

PUBLISH: Final = "rtmp://localhost:1935/live/show"
PLAY: Final = "rtmp://localhost:1936/live/show"
LAN: Final = "192.0.2.7"
"""An address of the machine, as others in its network know it [RFC 5737]."""

FRAMES: Final = 90  # three seconds, two of them GOPs that were not cached
DOWN_S: Final = 20
QUIET: Final = {
    "headwater_flush_duration_seconds_bucket",  # of a few writes: not measured
    "headwater_messages_refused_total",
}
"""What a small cluster that is well has nothing to show of."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Compose]:
    subprocess.run(["ip", "address", "add", f"{LAN}/32", "dev", "lo"], check=True)
    compose = Compose(FOLDER)
    version = compose.run("version", "--short").strip()
    say(f"docker compose {version}; NOT RUN, {LEFT_OUT}: there is no package (its files are read)")
    try:
        began = monotonic()
        compose.run("up", "--build", "--detach", "--wait")
        say(f"docker compose up --build --wait: {monotonic() - began:.0f} s")
        yield compose
    finally:
        compose.down()
        subprocess.run(["ip", "address", "delete", f"{LAN}/32", "dev", "lo"], check=True)


@asynccontextmanager
async def published(url: str) -> AsyncIterator[FfmpegProcess]:
    """Publish a test picture with ffmpeg."""
    encoder = FfmpegProcess(find_ffmpeg(), ffmpeg.test_picture(url))
    await encoder.start()
    try:
        yield encoder
    finally:
        await encoder.stop()


@asynccontextmanager
async def played(url: str) -> AsyncIterator[FfmpegProcess]:
    """Decode a stream with ffmpeg; the block begins when there are pictures."""
    player = FfmpegProcess(find_ffmpeg(), ffmpeg.decode(url))
    await player.start()
    try:
        await until(lambda: player.frames >= FRAMES or player.exit_code is not None, 30)
        assert player.exit_code is None, player.explain()
        assert player.errors == 0, player.explain()
        yield player
    finally:
        await player.stop()


def test_one_command_has_all_of_the_cluster_healthy(cluster: Compose) -> None:
    states = cluster.states()
    assert set(states) == set(SERVICES)
    for service, state in states.items():
        assert state["State"]["Health"]["Status"] == "healthy", service
        assert state["RestartCount"] == 0, cluster.log(service)


async def test_pictures_go_through_it_and_the_nodes_know_the_address_of_the_client(
    cluster: Compose,
) -> None:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(published(PUBLISH))
        await stack.enter_async_context(published(f"rtmp://{LAN}:1935/live/lan"))
        for url in (PLAY, PLAY, f"rtmp://{LAN}:1936/live/lan"):
            await stack.enter_async_context(played(url))
        told = json.loads(cluster.run("exec", "-T", "edge-1", "headwater", "streams", "--json"))
        rows = {row["stream"]: row for row in told["streams"]}
        assert set(rows) == {"live/show", "live/lan"}
        # Two viewers, and the balancer has given one to each edge.
        assert [node[:11] for node in rows["live/show"]["edges"]] == ["edge-edge-1", "edge-edge-2"]
        assert rows["live/lan"]["publisher"].startswith(f"{LAN}:")
    logs = "".join(cluster.log(node) for node in NODES)
    assert f"peer={LAN}:" in logs
    assert "proxy_header" not in logs


async def test_prometheus_has_all_nodes_and_every_query_of_the_dashboard_its_data(
    cluster: Compose,
) -> None:
    files = Files(cluster)
    source, dashboard = files.provisioned("datasources"), files.dashboard()
    assert cluster.fetch_inside(f"{source['url']}/-/ready") == 200
    assert f" http://localhost:3000/d/{dashboard['uid']} " in FILES[0].read_text()
    async with published(PUBLISH), played(PLAY):
        up = ask_prometheus("query", query="up")["result"]
        assert {(each["metric"]["instance"], each["value"][1]) for each in up} == {
            (f"{node}:8080", "1") for node in NODES
        }
        asked = queries(dashboard, source)

        def empty() -> set[str]:
            """Ask everything, and return what there is no data of."""
            return {query.metric for query in asked if not query.has_data()}

        async def all_have_data() -> bool:
            async with played(PLAY):  # how long a picture took to come is a panel, too
                return empty() <= QUIET

        try:
            await until(all_have_data, 60)
        except TimeoutError:
            raise AssertionError(f"no data: {sorted(empty() - QUIET)}") from None
    say(f"{len(asked)} queries of the dashboard are accepted; nothing to show: {sorted(empty())}")


def test_the_probe_passes(cluster: Compose) -> None:
    assert "frames published and played" in cluster.run("run", "--rm", "probe")


async def test_down_ends_it_in_good_order_while_a_stream_plays(cluster: Compose) -> None:
    # The last one: nothing is left after it.
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(published(PUBLISH))
        await stack.enter_async_context(played(PLAY))
        endings = cluster.down()
    say(f"docker compose down: {endings.seconds:.0f} s")
    assert endings.codes == dict.fromkeys(SERVICES, 0)
    assert endings.seconds < DOWN_S
    assert cluster.states() == {}
