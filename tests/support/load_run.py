"""Starting publishers and crowds as processes of their own."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from common.local.cluster import LocalCluster, to_stderr
from common.supervisor.python_module import module_command, module_environment
from tests.support.load_node import Metrics

STREAM = "live/bench"


class LoadError(Exception):
    """A load tool ended with an error."""


class ErrorLog:
    """Takes the log of a cluster's nodes and keeps what must not be in it."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self._in_traceback = False

    def take(self, line: str) -> None:
        """Look at the next line; what belongs to an error is shown at once."""
        self._in_traceback = self._in_traceback and line.startswith(" ")
        if " ERROR " in line:
            self._in_traceback = True
            self.errors.append(f"logged: {line}")
        if self._in_traceback:
            to_stderr(line)


@asynccontextmanager
async def publishing(cluster: LocalCluster, *, stream: str = STREAM) -> AsyncIterator[None]:
    """Publish the clip to the first origin until the block ends; return when it is accepted."""
    url = f"rtmp://{cluster.origins[0].info.rtmp}/{stream}"
    process = await _start("tests.bench.publisher", "--url", url)
    try:
        assert process.stdout is not None
        if await process.stdout.readline() != b"publishing\n":
            raise LoadError("the publisher has ended")
        yield
        if process.returncode is not None:
            raise LoadError("the publisher has ended early")
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def play(cluster: LocalCluster, *options: str, stream: str = STREAM) -> dict[str, Any]:
    """Run ``tests.bench.players`` against the first edge; return its figures."""
    url = f"rtmp://{cluster.edges[0].info.rtmp}/{stream}"
    process = await _start("tests.bench.players", "--url", url, "--json", *options)
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode not in (0, 1):
        raise LoadError(f"the players ended with {process.returncode}")
    return dict(json.loads(out))


async def edge_metrics(cluster: LocalCluster) -> Metrics:
    """Scrape the first edge."""
    return await Metrics.of(cluster.edges[0].info.admin)


async def _start(module: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *module_command(module, *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        env=module_environment(),
    )
