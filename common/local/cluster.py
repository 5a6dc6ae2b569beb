"""A whole cluster on this machine: Redis, origins and edges, each node as it runs anywhere.

The command `headwater up`, the demo, tests and benches all stand on it.
"""

import asyncio
import secrets
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from common.backoff import Backoff
from common.cluster.records import NodeRole
from common.local.guard import guard
from common.local.node_process import LocalClusterError, NodeInfo, NodeProcess
from common.local.redis_server import HOST, LocalServerError, RedisServer
from common.local.staged import Staged
from common.supervisor.exit_codes import describe_exit
from common.supervisor.python_module import module_command, module_environment

RESTART_MIN_S: Final = 0.5
RESTART_MAX_S: Final = 10.0

_LOCAL_SETTINGS: Final = (f"relay.listen_host={HOST}",)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """What the cluster is to be like."""

    origins: int = 2
    edges: int = 2
    workers: int = 2  # of each node
    redis: str | None = None  # URL; None: a server of our own
    origin_port: int = 0  # of the first origin, the next has the next; 0: free ports
    edge_port: int = 0  # likewise
    config: Path | None = None  # as given to --config
    settings: tuple[str, ...] = ()  # "path=value", as given to --set
    node_settings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """More settings for single nodes, by "origin-1", "edge-2" and so on; they win."""
    restart: bool = True  # nodes that die; else they stay dead until somebody starts them
    code: Path | None = None  # that nodes run, such as a compiled build; None: what runs here


def to_stderr(line: str) -> None:
    """Write a line to standard error; nothing happens when nobody reads it any more.

    Must not raise: a node whose log is not taken for it stands still once the pipe is full.
    """
    with suppress(OSError):
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


class LocalNode:
    """A node of the cluster. `info` is of its present process; ports stay when it is restarted."""

    def __init__(
        self,
        process: NodeProcess,
        *,
        port: int,
        arguments: list[str],
        environment: dict[str, str],
    ) -> None:
        self.process = process
        self._listen = f"{HOST}:{port}"
        self._admin = f"{HOST}:0"
        self._arguments = arguments
        self._environment = environment
        self.info: NodeInfo

    @property
    def role(self) -> NodeRole:
        """What the node is."""
        return self.process.role

    async def start(self) -> None:
        """Start it and wait until it is ready; raises `LocalClusterError`."""
        self.info = await self.process.start(self._command, self._environment)
        # Not all of the address: the advertised host may be another one than it listens on.
        self._listen = f"{HOST}:{self.info.rtmp.rpartition(':')[2]}"
        self._admin = self.info.admin

    async def keep_running(self, log: Callable[[str], None]) -> None:
        """Restart the node whenever it ends, for ever; tell so."""
        backoff = Backoff(RESTART_MIN_S, RESTART_MAX_S)
        loop = asyncio.get_running_loop()
        while True:
            started_at = loop.time()
            code = await self.process.ended()
            if loop.time() - started_at >= RESTART_MAX_S:
                backoff.reset()
            log(f"{self.process.name} ended ({describe_exit(code)}) and is restarted")
            await asyncio.sleep(backoff.next_s())
            try:
                await self.start()
            except LocalClusterError as error:
                log(str(error))

    def _command(self, ready_fd: int) -> list[str]:
        return module_command(
            "common.cli",
            self.role,
            *("--node-id", self.process.name),
            *("--listen", self._listen),
            *("--admin", self._admin),
            *("--ready-fd", str(ready_fd)),
            *self._arguments,
        )


class LocalCluster(Staged):
    """Runs a cluster on 127.0.0.1 for the length of an ``async with`` block.

    Entering waits until all nodes are ready and raises `LocalClusterError` or `LocalServerError`
    when that fails. Nodes that die are restarted on their ports, if the options do not say
    otherwise. Leaving, however it happens, ends all processes and removes all files; even a SIGKILL
    of this process leaves nothing running.
    ``log`` is given each line that a node logs and what happens to the nodes themselves.
    """

    def __init__(
        self, options: ClusterOptions | None = None, *, log: Callable[[str], None] = to_stderr
    ) -> None:
        super().__init__()
        self._options = options or ClusterOptions()
        self._log = log
        self.redis_url = ""
        self.origins: list[LocalNode] = []
        self.edges: list[LocalNode] = []

    @property
    def nodes(self) -> list[LocalNode]:
        """All nodes, origins first."""
        return self.origins + self.edges

    def as_dict(self) -> dict[str, object]:
        """Return what `headwater up --json` prints."""
        return {
            "redis": self.redis_url,
            "origins": [node.info.as_dict() for node in self.origins],
            "edges": [node.info.as_dict() for node in self.edges],
        }

    async def _start(self, stack: AsyncExitStack) -> None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headwater-")))
        self.redis_url = self._options.redis or await self._start_redis(stack)
        await stack.enter_async_context(guard(folders=[folder]))
        self._make_nodes(folder)
        stack.push_async_callback(self._stop_nodes)
        try:
            async with asyncio.TaskGroup() as starting:
                for node in self.nodes:
                    starting.create_task(node.start())
        except* LocalClusterError as failures:
            raise failures.exceptions[0] from None
        for node in self.nodes if self._options.restart else ():
            keeping = asyncio.create_task(node.keep_running(self._log))
            stack.push_async_callback(_cancel, keeping)

    async def _start_redis(self, stack: AsyncExitStack) -> str:
        server = await stack.enter_async_context(RedisServer())
        guarding = await stack.enter_async_context(AsyncExitStack())
        await guarding.enter_async_context(guard(pids=[server.pid], folders=[server.folder]))
        if self._options.restart:
            keeping = asyncio.create_task(self._keep_redis_running(server, guarding))
            stack.push_async_callback(_cancel, keeping)
        return server.url

    async def _keep_redis_running(self, server: RedisServer, guarding: AsyncExitStack) -> None:
        """Restart the server whenever it dies, for ever; origins fill it again."""
        backoff = Backoff(RESTART_MIN_S, RESTART_MAX_S)
        while True:
            await server.died()
            await guarding.aclose()  # its process id may be a stranger's by now
            self._log("the Redis server ended and is restarted")
            await asyncio.sleep(backoff.next_s())
            try:
                await server.start()
            except LocalServerError as error:
                self._log(str(error))
                continue
            await guarding.enter_async_context(guard(pids=[server.pid], folders=[server.folder]))

    def _make_nodes(self, folder: Path) -> None:
        # A Redis that is not ours may know other nodes of these names.
        suffix = f"-{secrets.token_hex(2)}" if self._options.redis else ""
        counts = (
            (self.origins, NodeRole.ORIGIN, self._options.origins, self._options.origin_port),
            (self.edges, NodeRole.EDGE, self._options.edges, self._options.edge_port),
        )
        # Not as an argument: `ps` would show its password.
        environment = module_environment(
            code=self._options.code, HEADWATER_REDIS__URL=self.redis_url
        )
        for nodes, role, count, first_port in counts:
            for n in range(count):
                name = f"{role}-{n + 1}"
                process = NodeProcess(role, name + suffix, self._log)
                nodes.append(
                    LocalNode(
                        process,
                        port=first_port + n if first_port else 0,
                        arguments=self._arguments(name, folder / process.name),
                        environment=environment,
                    )
                )

    def _arguments(self, name: str, runtime_dir: Path) -> list[str]:
        config = ["--config", str(self._options.config)] if self._options.config else []
        settings = [
            *_LOCAL_SETTINGS,
            *self._options.settings,
            *self._options.node_settings.get(name, ()),
            f"node.runtime_dir={runtime_dir}",
        ]
        overrides = [part for setting in settings for part in ("--set", setting)]
        return ["--workers", str(self._options.workers), *config, *overrides]

    async def _stop_nodes(self) -> None:
        await asyncio.gather(*(node.process.stop() for node in self.nodes))


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait({task})
