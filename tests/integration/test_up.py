"""A local cluster with real nodes: what it prints, what it survives, what it leaves behind."""

import asyncio
import json
import os
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from common.cluster.redis_directory import RedisDirectory
from common.config.model import LeaseSettings, RedisSettings
from common.errors import DirectoryUnavailable
from common.local.cluster import ClusterOptions, LocalCluster
from common.local.node_process import LocalClusterError
from common.supervisor.python_module import module_command, module_environment
from tests.support.processes import is_alive, with_environment
from tests.support.up_command import MODULE
from tests.support.wait import until
from tests.support.wait import until as until_so

pytestmark = pytest.mark.integration

SMALL = {"origins": 1, "edges": 1, "workers": 1}


@dataclass
class Up:
    process: asyncio.subprocess.Process
    temporary: Path

    async def ready(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
            line = await self.process.stdout.readline()
        return dict(json.loads(line or (await self.ended())[2]))

    async def ended(self) -> tuple[int, bytes, str]:
        async with asyncio.timeout(30):
            out, err = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, out, err.decode()

    def left_over(self) -> list[str]:
        return [path.name for path in self.temporary.iterdir()]

    def processes(self) -> list[int]:
        """Return every process there is that was started for this cluster."""
        return list(with_environment("TMPDIR", str(self.temporary)))

    def command_lines(self) -> list[bytes]:
        return [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in self.processes()]


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder with a short path, unlike ``tmp_path``: Unix sockets are made in it."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@asynccontextmanager
async def start_up(temporary: Path, **options: object) -> AsyncIterator[Up]:
    process = await asyncio.create_subprocess_exec(
        *module_command(MODULE, json.dumps(SMALL | options)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=module_environment(TMPDIR=str(temporary)),
    )
    up = Up(process, temporary)
    try:
        yield up
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
        await until(lambda: not up.processes())


async def test_up_prints_one_line_and_leaves_nothing_behind(temporary: Path) -> None:
    async with start_up(temporary, workers=2) as up:
        ready = await up.ready()
        assert ready.keys() == {"redis", "origins", "edges"}
        nodes = ready["origins"] + ready["edges"]
        assert [node.keys() for node in nodes] == [{"id", "pid", "rtmp", "admin", "workers"}] * 2
        assert [len(node["workers"]) for node in nodes] == [2, 2]
        assert all(node["rtmp"].startswith("127.0.0.1:") for node in nodes)
        assert {pid for node in nodes for pid in node["workers"]} < set(up.processes())
        up.process.send_signal(signal.SIGTERM)
        code, out, log = await up.ended()
        assert (code, out) == (0, b""), log
        assert up.processes() == []
        assert up.left_over() == []
        assert "Traceback" not in log


async def test_up_that_is_told_to_end_while_it_starts_leaves_nothing_behind(
    temporary: Path,
) -> None:
    async with start_up(temporary) as up:
        await until(lambda: len(up.processes()) >= 4)
        up.process.send_signal(signal.SIGINT)
        code, out, log = await up.ended()
        assert (code, out) == (0, b""), log
        assert up.processes() == []
        assert up.left_over() == []


async def test_nothing_survives_a_killed_up(temporary: Path) -> None:
    async with start_up(temporary) as up:
        await up.ready()
        up.process.kill()
        await until(lambda: not up.processes())
        await until(lambda: up.left_over() == [])


async def test_a_node_that_dies_is_restarted_on_its_ports() -> None:
    log: list[str] = []
    async with LocalCluster(ClusterOptions(origins=1, edges=0, workers=1), log=log.append) as it:
        before = it.origins[0].info
        os.kill(before.pid, signal.SIGKILL)
        await until(lambda: it.origins[0].info.pid != before.pid)
        after = it.origins[0].info
        assert (after.id, after.rtmp, after.admin) == (before.id, before.rtmp, before.admin)
        assert "origin-1 ended (signal_9) and is restarted" in log
    assert not is_alive(after.pid)


async def test_a_node_that_dies_can_be_left_dead_until_it_is_started() -> None:
    options = ClusterOptions(
        origins=1,
        edges=0,
        workers=1,
        restart=False,
        node_settings={"origin-1": ("node.advertise_host=localhost",)},
    )
    log: list[str] = []
    async with LocalCluster(options, log=log.append) as it:
        before = it.origins[0].info
        assert before.rtmp.startswith("localhost:")
        os.kill(before.pid, signal.SIGKILL)
        await it.origins[0].process.ended()
        assert not any("is restarted" in line for line in log)
        await it.origins[0].start()
        assert it.origins[0].info.rtmp == before.rtmp


async def test_a_node_that_cannot_start_is_explained_with_its_log() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        cluster = LocalCluster(
            ClusterOptions(origins=1, edges=1, workers=1, origin_port=port), log=lambda line: None
        )
        with pytest.raises(LocalClusterError) as caught:
            async with cluster:
                pass
    assert "origin-1 ended at its start (could_not_boot)" in str(caught.value)
    assert f"cannot listen on 127.0.0.1:{port}: another process uses this port" in str(caught.value)


async def test_up_fails_with_the_reason(temporary: Path) -> None:
    async with start_up(temporary, settings=["rtmp.chunk_size=1"]) as up:
        code, out, log = await up.ended()
        assert (code, out) == (1, b"")
        assert "headwater up: " in log
        assert "rtmp.chunk_size" in log
        assert up.left_over() == []


async def test_a_given_redis_is_used_and_its_password_is_on_no_command_line(
    temporary: Path,
) -> None:
    url = "redis://:sesame@127.0.0.1:1/0"
    async with start_up(temporary, redis=url) as up:
        assert (await up.ready())["redis"] == url
        nodes = [line for line in up.command_lines() if b"up_command" not in line]
        assert len(nodes) >= 4
        assert not any(b"sesame" in line for line in nodes)


async def test_a_redis_of_its_own_that_dies_is_restarted_and_filled_again() -> None:
    async with LocalCluster(ClusterOptions(**SMALL)) as cluster:
        settings = RedisSettings(url=SecretStr(cluster.redis_url))
        directory = RedisDirectory(settings, LeaseSettings())
        async with Redis.from_url(cluster.redis_url) as client:
            pid = (await client.info("server"))["process_id"]
        os.kill(pid, signal.SIGKILL)

        async def nodes_are_back() -> bool:
            with suppress(DirectoryUnavailable):
                return len(await directory.nodes()) == 2
            return False

        await until_so(nodes_are_back)
        await directory.close()
