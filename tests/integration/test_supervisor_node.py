"""A whole node as a process: ready line, admin port, routing table, signals, nothing left over."""

import asyncio
import json
import os
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from common.cluster.redis_directory import RedisDirectory
from common.config.model import RedisSettings
from common.local.redis_server import RedisServer
from common.supervisor.exit_codes import ExitCode
from common.supervisor.python_module import module_command, module_environment
from tests.support.processes import is_alive
from tests.support.sleepy_node import MODULE, READY_FD_ENV
from tests.support.sleepy_role import MODE_ENV, Mode
from tests.support.wait import until

pytestmark = pytest.mark.integration

NO_REDIS = "redis://127.0.0.1:1/0"

DEFAULTS = {
    "node.workers": "2",
    "node.id": "n1",
    "rtmp.listen": "127.0.0.1:0",
    "admin.listen": "127.0.0.1:0",
    "redis.url": NO_REDIS,
    "lease.renew_s": "0.1",
    "supervisor.heartbeat_s": "0.05",
    "supervisor.backoff_min_s": "0.02",
}


@dataclass
class NodeProcess:
    process: asyncio.subprocess.Process
    launcher: socket.socket
    temporary: Path  # where it makes its temporary folders
    ready: dict[str, Any] = field(default_factory=dict)

    @property
    def workers(self) -> list[int]:
        return list(self.ready["workers"])

    async def until_ready(self) -> None:
        self.launcher.setblocking(False)
        async with asyncio.timeout(15):
            line = await asyncio.get_running_loop().sock_recv(self.launcher, 65_536)
        self.ready = json.loads(line)

    async def ended(self) -> tuple[int, str]:
        """Return exit code and log of a node that is to end."""
        async with asyncio.timeout(15):
            _, log = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, log.decode()

    async def get(self, path: str) -> tuple[int, str]:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{self.ready['admin']}{path}") as answer,
        ):
            return answer.status, await answer.text()

    async def pid(self, slot: int) -> int:
        """Return the pid of the worker in a slot, 0 when there is none."""
        workers = json.loads((await self.get("/status"))[1])["workers"]
        return next((int(each["pid"]) for each in workers if each["slot"] == slot), 0)

    def left_over(self) -> list[str]:
        return [path.name for path in self.temporary.iterdir()]


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder with a short path, unlike ``tmp_path``: Unix sockets are made in it."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@asynccontextmanager
async def start_node(temporary: Path, **changes: str) -> AsyncIterator[NodeProcess]:
    settings = DEFAULTS | {path.replace("__", "."): value for path, value in changes.items()}
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *module_command(MODULE, *(f"{path}={value}" for path, value in settings.items())),
                stderr=asyncio.subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
                env=module_environment(
                    **{READY_FD_ENV: str(theirs.fileno()), "TMPDIR": str(temporary)}
                ),
            )
        try:
            yield NodeProcess(process, ours, temporary)
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()


async def test_a_node_says_when_it_is_ready_and_ends_cleanly(temporary: Path) -> None:
    async with start_node(temporary) as node:
        await node.until_ready()
        assert node.ready.keys() == {"id", "role", "pid", "rtmp", "admin", "workers"}
        assert (node.ready["id"], node.ready["role"]) == ("n1", "origin")
        assert node.ready["pid"] == node.process.pid
        assert len(node.workers) == 2
        assert node.left_over() != []
        node.process.send_signal(signal.SIGTERM)
        code, log = await node.ended()
        assert code == ExitCode.OK, log
        assert not any(map(is_alive, node.workers))
        assert node.left_over() == []
        assert "Traceback" not in log


async def test_a_node_starts_without_redis_and_says_degraded(temporary: Path) -> None:
    async with start_node(temporary) as node:
        await node.until_ready()
        assert await node.get("/readyz") == (200, "ready\n")
        assert await node.get("/startupz") == (200, "started\n")
        health = json.loads((await node.get("/healthz"))[1])
        assert health["status"] == "degraded"
        assert health["components"]["redis"]["status"] == "degraded"
        assert "unreachable since" in health["components"]["redis"]["reason"]


async def test_status_and_metrics_describe_the_workers(temporary: Path) -> None:
    async with start_node(temporary) as node:
        await node.until_ready()
        status: dict[str, Any] = {}

        async def viewers() -> int:
            status.update(json.loads((await node.get("/status"))[1]))
            return int(status["viewers"])

        async with asyncio.timeout(15):
            while await viewers() != 3:  # slot + 1 for each worker
                pass
        assert [worker["pid"] for worker in status["workers"]] == node.workers
        assert {worker["state"] for worker in status["workers"]} == {"ready"}
        os.kill(node.workers[0], signal.SIGKILL)
        async with asyncio.timeout(15):
            while 'headwater_worker_restarts_total{reason="signal_9"} 1.0' not in (
                metrics := (await node.get("/metrics"))[1]
            ):
                pass
        assert 'headwater_node_info{node="n1",role="origin"' in metrics
        assert "\nheadwater_ready 1.0\n" in metrics
        assert "headwater_event_loop_lag_seconds_count" in metrics


async def test_a_worker_that_fails_beside_another_one_does_not_end_the_node(
    temporary: Path,
) -> None:
    async with start_node(temporary, supervisor__give_up_after="2") as node:
        await node.until_ready()
        pid, sibling = node.workers
        for failures in range(1, 6):
            os.kill(pid, signal.SIGKILL)
            async with asyncio.timeout(15):
                while (new := await node.pid(0)) in (0, pid):
                    pass
            pid = new
            counted = f'headwater_worker_restarts_total{{reason="signal_9"}} {failures}.0'
            assert counted in (await node.get("/metrics"))[1]
            assert await node.get("/readyz") == (200, "ready\n")
        assert await node.pid(1) == sibling


async def test_a_node_whose_only_worker_always_dies_ends_with_an_error(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MODE_ENV, Mode.CRASH)
    async with start_node(temporary, node__workers="1", supervisor__give_up_after="3") as node:
        code, log = await node.ended()
    assert code == ExitCode.GAVE_UP
    assert log.count("worker died") == 3
    assert "node gives up" in log
    assert node.left_over() == []


async def test_the_routing_table_knows_a_node_while_it_runs(
    temporary: Path, redis_settings: RedisSettings, redis_directory: RedisDirectory
) -> None:
    url = redis_settings.url.get_secret_value()
    async with start_node(
        temporary, redis__url=url, redis__key_prefix=redis_settings.key_prefix
    ) as node:
        await node.until_ready()
        async with asyncio.timeout(15):
            while not (nodes := await redis_directory.nodes()) or nodes[0].viewers != 3:
                pass
        assert [(each.id, each.workers, each.rtmp) for each in nodes] == [
            ("n1", 2, node.ready["rtmp"])
        ]
        assert json.loads((await node.get("/healthz"))[1])["status"] == "ok"
        node.process.send_signal(signal.SIGTERM)
        assert (await node.ended())[0] == ExitCode.OK
        assert await redis_directory.nodes() == []


async def test_table_that_takes_no_writes_shows_in_health_and_metrics(temporary: Path) -> None:
    async with (
        RedisServer() as server,
        Redis.from_url(server.url) as redis,
        start_node(temporary, redis__url=server.url) as node,
    ):
        await node.until_ready()

        async def says(status: str, up: str) -> None:
            async with asyncio.timeout(15):
                while f"\nheadwater_directory_up {up}\n" not in (await node.get("/metrics"))[1]:
                    pass
            assert json.loads((await node.get("/healthz"))[1])["status"] == status

        await says("ok", "1.0")
        await redis.config_set("maxmemory", 1)
        await says("degraded", "0.0")
        await redis.config_set("maxmemory", 0)
        await says("ok", "1.0")


async def test_draining_shows_in_readiness_until_a_second_signal(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MODE_ENV, Mode.BUSY)
    async with start_node(temporary, supervisor__drain_s="60") as node:
        await node.until_ready()
        node.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(15):
            while await node.get("/readyz") != (503, "not ready: draining\n"):
                pass
        metrics = (await node.get("/metrics"))[1]
        assert "\nheadwater_ready 0.0\n" in metrics
        assert 'headwater_workers{state="ready"} 2.0' in metrics, "who is connected is served"
        assert (await node.get("/livez"))[0] == 200
        node.process.send_signal(signal.SIGINT)
        code, log = await node.ended()
        assert code == ExitCode.OK, log


async def test_workers_of_a_killed_node_end(temporary: Path) -> None:
    async with start_node(temporary) as node:
        await node.until_ready()
        node.process.kill()
        await until(lambda: not any(map(is_alive, node.workers)))


async def test_a_node_ends_with_its_launcher(temporary: Path) -> None:
    async with start_node(temporary, supervisor__drain_s="60") as node:
        await node.until_ready()
        node.launcher.shutdown(socket.SHUT_RDWR)
        code, log = await node.ended()
        assert code == ExitCode.OK, log
        assert node.left_over() == []


@pytest.mark.parametrize("setting", ["rtmp.listen", "admin.listen"])
async def test_a_port_in_use_is_told_and_ends_the_node(temporary: Path, setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        async with start_node(temporary, **{setting.replace(".", "__"): address}) as node:
            code, log = await node.ended()
    assert code == ExitCode.COULD_NOT_BOOT
    assert f"{setting}: cannot listen on {address}: another process uses this port" in log
    assert node.left_over() == []


async def test_a_second_node_on_the_same_port_is_refused(temporary: Path) -> None:
    async with start_node(temporary) as first:
        await first.until_ready()
        async with start_node(temporary, rtmp__listen=first.ready["rtmp"]) as second:
            code, log = await second.ended()
        assert code == ExitCode.COULD_NOT_BOOT
        assert "another process uses this port" in log


async def test_the_error_of_a_worker_that_cannot_start_ends_the_node(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MODE_ENV, Mode.PORT_IN_USE)
    async with start_node(temporary) as node:
        code, log = await node.ended()
    assert code == ExitCode.COULD_NOT_BOOT
    assert "address in use: 127.0.0.1:1" in log


async def test_a_runtime_folder_with_a_long_path_is_refused(temporary: Path) -> None:
    async with start_node(temporary, node__runtime_dir=str(temporary / ("x" * 100))) as node:
        code, log = await node.ended()
    assert code == ExitCode.COULD_NOT_BOOT
    assert "is too long" in log
