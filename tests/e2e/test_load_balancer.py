"""A real HAProxy in front of origins and edges: clients go by their own address."""

import asyncio
import json
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from common.local.cluster import ClusterOptions, LocalCluster
from common.local.redis_server import HOST, free_port
from common.supervisor.python_module import module_command, module_environment
from tests.support.e2e import Clip
from tests.support.media import read_flv
from tests.support.tools import new_ffmpeg, publish_file, record, running, system_tool
from tests.support.wait import until

pytestmark = pytest.mark.e2e

BALANCER = "127.0.0.3"
"""Where HAProxy connects from; clients connect to it from 127.0.0.1."""


@dataclass
class Balanced:
    """A cluster of an origin and an edge, each behind a port of HAProxy."""

    cluster: LocalCluster
    origin: str  # "host:port" of the balancer
    edge: str
    log: list[str] = field(default_factory=list)

    def streams(self) -> list[dict[str, object]]:
        """Return what `headwater streams` lists."""
        command = module_command("common.cli", "streams", "--json")
        environment = module_environment(HEADWATER_REDIS__URL=self.cluster.redis_url)
        done = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=30)
        return list(json.loads(done.stdout)["streams"])

    async def metrics(self) -> str:
        """Return the metrics of the origin and the edge."""
        async with aiohttp.ClientSession() as http:
            pages = []
            for node in self.cluster.nodes:
                async with http.get(f"http://{node.info.admin}/metrics") as answer:
                    pages.append(await answer.text())
        return "".join(pages)


def configuration(origin: str, edge: str, to_origin: str, to_edge: str, send: str) -> str:
    """Return HAProxy's configuration; it sends its health checks with headers, too."""
    lines = ["defaults", "  mode tcp"]
    lines += [f"  timeout {each} 10s" for each in ("connect", "client", "server")]
    options = f"source {BALANCER} {send} check check-send-proxy inter 50ms"
    for name, listen, target in (("origin", origin, to_origin), ("edge", edge, to_edge)):
        lines += [f"listen {name}", f"  bind {listen}", f"  server one {target} {options}"]
    return "\n".join(lines) + "\n"


@asynccontextmanager
async def balanced(folder: Path, send: str, *settings: str) -> AsyncIterator[Balanced]:
    """Run a cluster behind a HAProxy that sends headers by ``send``."""
    haproxy = system_tool("haproxy")
    log: list[str] = []
    options = ClusterOptions(origins=1, edges=1, workers=1, settings=settings, restart=False)
    origin, edge = f"{HOST}:{free_port()}", f"{HOST}:{free_port()}"
    async with LocalCluster(options, log=log.append) as cluster:
        to_origin, to_edge = (node.info.rtmp for node in cluster.nodes)
        config = folder / "haproxy.cfg"
        config.write_text(configuration(origin, edge, to_origin, to_edge, send))
        async with running(haproxy, "-db", "-f", str(config)) as balancer:
            await until(lambda: _accepts(origin) and _accepts(edge))
            yield Balanced(cluster, origin, edge, log)
            assert balancer.runs


def _accepts(address: str) -> bool:
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), 1).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("send", ["send-proxy", "send-proxy-v2"])
async def test_c9_a_stream_goes_through_a_balancer_and_keeps_its_publishers_address(
    send: str, h264_aac: Clip, stream: str, tmp_path: Path
) -> None:
    trusted = f"rtmp.proxy_trusted=[{BALANCER}]"
    async with balanced(tmp_path, send, trusted, "edge.grace_s=1", "edge.hold_s=10") as nodes:
        recording = tmp_path / "recording.flv"
        ffmpeg = new_ffmpeg()
        async with running(ffmpeg, *record(f"rtmp://{nodes.edge}/{stream}", recording)) as player:
            encoder = publish_file(h264_aac.path, f"rtmp://{nodes.origin}/{stream}", loop=True)
            async with running(ffmpeg, *encoder):
                await until(lambda: recording.exists() and recording.stat().st_size > 20_000)
                (row,) = await asyncio.to_thread(nodes.streams)
            await player.ended()
        assert str(row["publisher"]).startswith("127.0.0.1:")
        assert read_flv(recording)
        assert 'reason="probe"' in await nodes.metrics()
        assert any("publisher" in line and "peer=127.0.0.1:" in line for line in nodes.log)
        wrong = ("connection refused", "proxy_", BALANCER)
        assert not [line for line in nodes.log if any(each in line for each in wrong)]


async def test_c9_without_trust_the_log_says_what_is_wrong(
    h264_aac: Clip, stream: str, tmp_path: Path
) -> None:
    async with balanced(tmp_path, "send-proxy-v2") as nodes:
        command = publish_file(h264_aac.path, f"rtmp://{nodes.origin}/{stream}")
        async with running(new_ffmpeg(), *command) as encoder:
            code, _ = await encoder.ended()
        assert code != 0
        assert any("proxy_untrusted" in line and BALANCER in line for line in nodes.log)
