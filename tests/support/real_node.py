"""A single node as a real process, started and ended by a test."""

import os
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from common.cluster.records import NodeRole
from common.local.admin import fetch_status
from common.local.node_process import NodeInfo, NodeProcess
from common.local.redis_server import HOST
from common.supervisor.python_module import module_command, module_environment
from tests.support.spine import STREAM


@dataclass
class RealNode:
    """A node that runs, and what it logged."""

    info: NodeInfo
    process: NodeProcess
    log: list[str]
    folder: Path  # its runtime folder

    def url(self, stream: str = STREAM) -> str:
        """Where to publish or play ``stream``."""
        return f"rtmp://{self.info.rtmp}/{stream}"

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor."""
        os.kill(self.info.pid, number)

    def logged(self, *words: str) -> bool:
        """Say whether one line has all of ``words``."""
        return any(all(word in line for word in words) for line in self.log)

    async def ended(self) -> int:
        """Wait for its end; return the exit code."""
        return await self.process.ended()

    async def readiness(self) -> tuple[int, str]:
        """Ask whether new clients may be sent here."""
        return await self._get("/readyz")

    async def metrics(self) -> str:
        """Return the metrics page."""
        return (await self._get("/metrics"))[1]

    async def workers(self) -> list[dict[str, object]]:
        """Return the workers as the status page shows them."""
        async with aiohttp.ClientSession() as http:
            return list((await fetch_status(http, self.info.admin))["workers"])

    async def _get(self, path: str) -> tuple[int, str]:
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"http://{self.info.admin}{path}") as answer,
        ):
            return answer.status, await answer.text()


@asynccontextmanager
async def running_node(
    role: NodeRole,
    name: str,
    redis_url: str,
    *settings: str,
    config: Path | None = None,
    max_files: int = 0,
) -> AsyncIterator[RealNode]:
    """Run ``headwater origin`` or ``edge`` with ``settings`` ("path=value") on free ports.

    ``max_files`` is how many files it may have open; 0: as many as we may.
    """
    log: list[str] = []
    process = NodeProcess(role, name, log.append)
    with tempfile.TemporaryDirectory(prefix="hw-") as folder:
        runtime_dir = Path(folder) / "run"
        fixed = [
            "node.workers=1",
            f"relay.listen_host={HOST}",
            "supervisor.heartbeat_s=0.1",
            "lease.renew_s=0.2",
            f"node.runtime_dir={runtime_dir}",
        ]
        overrides = [part for each in (*fixed, *settings) for part in ("--set", each)]
        limited = ["sh", "-c", f'ulimit -n {max_files}; exec "$@"', "sh"] if max_files else []
        config_file = ["--config", str(config)] if config is not None else []

        def command(ready_fd: int) -> list[str]:
            return [
                *limited,
                *module_command(
                    "common.cli",
                    role.value,
                    *("--node-id", name, "--listen", f"{HOST}:0", "--admin", f"{HOST}:0"),
                    *("--ready-fd", str(ready_fd)),
                    *config_file,
                    *overrides,
                ),
            ]

        environment = module_environment(HEADWATER_REDIS__URL=redis_url)
        try:
            info = await process.start(command, environment)
            yield RealNode(info, process, log, runtime_dir)
        finally:
            await process.stop()
