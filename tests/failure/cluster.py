"""The cluster of the failure lab: a proxy in every path that can break.

    encoders ─▶ proxy ─▶ origin ◀─ proxy ◀─ edges          every node ─▶ proxy ─▶ Redis

With ``lossy``, proxies reach origins across a router that can lose packets (`LossyWay`).

An origin advertises an address of the loopback network that is nobody's but its proxies': edges
take the relay address out of the route as it stands there, so the proxies see all relays and the
nodes run as they do anywhere.
"""

import asyncio
import os
import random
import signal
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from time import monotonic
from typing import Any, Final

import aiohttp
from pydantic import SecretStr

from common.config.model import RedisSettings
from common.local.admin import fetch_status
from common.local.cluster import ClusterOptions, LocalCluster, LocalNode
from common.local.guard import guard
from common.local.redis_server import HOST, RedisServer
from common.local.staged import Staged
from tests.support.chaos_proxy import ChaosProxy
from tests.support.lossy_way import LossyWay
from tests.support.processes import children, is_alive
from tests.support.sentinels import SentinelSetup
from tests.support.wait import until

_PORTS: Final = range(20_000, 30_000)  # below those that the kernel hands out by itself


def relay_host(index: int) -> str:
    """Return the address that an origin advertises: its proxies', and nobody else's."""
    return f"127.0.1.{index + 1}"


class LabCluster(Staged):
    """Redis, proxies and nodes, for the length of an ``async with`` block."""

    def __init__(
        self,
        *,
        origins: int,
        edges: int,
        workers: int,
        settings: tuple[str, ...] = (),
        origin_settings: tuple[str, ...] = (),
        extra_edges: tuple[tuple[str, ...], ...] = (),
        sentinels: bool = False,
        lossy: bool = False,
    ) -> None:
        super().__init__()
        self._counts = (origins, edges + len(extra_edges), workers)
        self._extra_edges = {
            f"edge-{edges + n}": own_settings for n, own_settings in enumerate(extra_edges, 1)
        }
        self._settings = settings
        self._origin_settings = origin_settings
        self.sentinels = SentinelSetup() if sentinels else None
        self.redis = self.sentinels.primary if self.sentinels else RedisServer()
        self.lossy_way = LossyWay() if lossy else None
        self.redis_proxies: dict[str, ChaosProxy] = {}  # by node
        self.relay_proxies: dict[str, list[ChaosProxy]] = {}  # by origin; one for each worker
        self.publish_proxies: dict[str, ChaosProxy] = {}  # by origin
        self.errors: list[str] = []
        self.on_log: Callable[[str], None] = lambda line: None
        self.frozen: set[str] = set()  # nodes
        self._paused: set[int] = set()
        self.cluster: LocalCluster
        self.http: aiohttp.ClientSession

    @property
    def origins(self) -> dict[str, LocalNode]:
        """The origins, by name."""
        return {f"origin-{n + 1}": node for n, node in enumerate(self.cluster.origins)}

    @property
    def edges(self) -> dict[str, LocalNode]:
        """The edges, by name."""
        return {f"edge-{n + 1}": node for n, node in enumerate(self.cluster.edges)}

    def node(self, name: str) -> LocalNode:
        """Return a node by its name."""
        return (self.origins | self.edges)[name]

    async def _start(self, stack: AsyncExitStack) -> None:
        origins, edges, workers = self._counts
        await self._start_redis(stack)
        near, far = HOST, HOST
        if self.lossy_way is not None:
            await stack.enter_async_context(self.lossy_way)
            near, far = self.lossy_way.near, self.lossy_way.far
        node_settings: dict[str, tuple[str, ...]] = {}
        for role, count in (("origin", origins), ("edge", edges)):
            for n in range(1, count + 1):
                node_settings[f"{role}-{n}"] = await self._way_to_redis(stack, f"{role}-{n}", n)
        for n in range(origins):
            name, host = f"origin-{n + 1}", relay_host(n)
            base = await self._relay_proxies(stack, name, host, far, workers)
            node_settings[name] += (
                f"node.advertise_host={host}",
                f"relay.listen_host={near}",
                f"relay.port_base={base}",
                *self._origin_settings,
            )
        for name, own_settings in self._extra_edges.items():
            node_settings[name] += own_settings
        options = ClusterOptions(
            origins=origins,
            edges=edges,
            workers=workers,
            redis=self.redis.url,
            restart=False,
            settings=self._settings,
            node_settings=node_settings,
        )
        self.http = await stack.enter_async_context(aiohttp.ClientSession())
        self.cluster = await stack.enter_async_context(LocalCluster(options, log=self._take_log))
        # Nothing ends while it is paused.
        stack.callback(self.resume_all)
        for n, (name, node) in enumerate(self.origins.items()):
            port = int(node.info.rtmp.rpartition(":")[2])
            to_origin = ChaosProxy((HOST, port), host=relay_host(n), port=port)
            self.publish_proxies[name] = await stack.enter_async_context(to_origin)

    async def _start_redis(self, stack: AsyncExitStack) -> None:
        await stack.enter_async_context(self.sentinels or self.redis)
        servers = self.sentinels.servers if self.sentinels else [self.redis]
        pids, folders = [each.pid for each in servers], [each.folder for each in servers]
        await stack.enter_async_context(guard(pids=pids, folders=folders))

    async def _way_to_redis(self, stack: AsyncExitStack, node: str, seed: int) -> tuple[str, ...]:
        """Return the settings with which a node reaches Redis."""
        if self.sentinels:  # which name the primary's own address: there is no way to break
            return ("redis.mode=sentinel", f"redis.sentinels={self.sentinels.addresses}")
        proxy = ChaosProxy((HOST, self.redis.port), seed=seed)
        self.redis_proxies[node] = await stack.enter_async_context(proxy)
        return (f"redis.url=redis://{HOST}:{proxy.port}/0",)

    async def _relay_proxies(
        self, stack: AsyncExitStack, name: str, host: str, target: str, workers: int
    ) -> int:
        base = _free_ports(workers)
        self.relay_proxies[name] = [
            await stack.enter_async_context(
                ChaosProxy((target, base + slot), host=host, port=base + slot, seed=slot)
            )
            for slot in range(workers)
        ]
        return base

    @property
    def redis_settings(self) -> RedisSettings:
        """How to reach Redis past the proxies, for what is no node."""
        if self.sentinels:
            return self.sentinels.settings(key_prefix=RedisSettings().key_prefix)
        return RedisSettings(url=SecretStr(self.redis.url))

    # Processes

    def pids(self, name: str) -> list[int]:
        """Return the supervisor of a node and its workers."""
        supervisor = self.node(name).info.pid
        return [supervisor, *children(supervisor)]

    def alive(self) -> list[str]:
        """Return the nodes that run."""
        nodes = self.origins | self.edges
        return [name for name, node in nodes.items() if is_alive(node.info.pid)]

    async def worker_pids(self, name: str) -> dict[int, int]:
        """Return the workers of a node by slot."""
        status = await self.status(name)
        return {each["slot"]: each["pid"] for each in status["workers"]}

    async def status(self, name: str) -> dict[str, Any]:
        """Return a node's status page."""
        return await fetch_status(self.http, self.node(name).info.admin)

    async def until_ended(self, pids: set[int], timeout_s: float) -> None:
        """Wait until none of these processes runs."""
        await until(lambda: not any(map(is_alive, pids)), timeout_s)

    async def accepts(self, name: str) -> bool:
        """Say whether somebody listens where clients of a node connect."""
        host, _, port = self.node(name).info.rtmp.rpartition(":")
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except ConnectionRefusedError:
            return False
        writer.close()
        return True

    async def kill(self, name: str) -> float:
        """End all processes of a node as a power cut does; return when."""
        pids = self.pids(name)
        at = monotonic()
        for pid in pids:  # the supervisor first: it shall replace nobody
            os.kill(pid, signal.SIGKILL)
        await self.node(name).process.ended()
        return at

    def pause(self, name: str) -> float:
        """Freeze all processes of a node; return when."""
        pids = self.pids(name)
        at = monotonic()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        self._paused.update(pids)
        self.frozen.add(name)
        return at

    def pause_worker(self, pid: int) -> float:
        """Freeze one worker; return when."""
        at = monotonic()
        os.kill(pid, signal.SIGSTOP)
        self._paused.add(pid)
        return at

    def part(self, origin: str) -> float:
        """Let nothing pass between an origin and the edges; return since when."""
        at = monotonic()
        for proxy in self.relay_proxies[origin]:
            proxy.freeze()
        return at

    def rejoin(self, origin: str) -> None:
        """Let everything pass again."""
        for proxy in self.relay_proxies[origin]:
            proxy.heal_ways()

    def resume_all(self) -> None:
        """End all pauses."""
        self.frozen.clear()
        while self._paused:
            try:
                os.kill(self._paused.pop(), signal.SIGCONT)
            except ProcessLookupError:
                continue

    async def revive(self) -> None:
        """Let go what is frozen, heal all ways, start what is dead."""
        self.resume_all()
        for proxy in self.proxies:
            await proxy.heal()
        for node in self.cluster.nodes:
            if not is_alive(node.info.pid):
                await node.start()

    @property
    def proxies(self) -> list[ChaosProxy]:
        """All proxies."""
        relays = [proxy for each in self.relay_proxies.values() for proxy in each]
        return [*self.redis_proxies.values(), *relays, *self.publish_proxies.values()]

    def _take_log(self, line: str) -> None:
        self.on_log(line)
        if " ERROR " in line and "worker died" not in line:
            self.errors.append(line)


def _free_ports(count: int) -> int:
    """Return the first of so many free ports in a row."""
    while True:
        base = random.choice(_PORTS)  # so that labs side by side seldom meet
        if all(_is_free(base + n) for n in range(count)):
            return base


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


async def until_true(condition: Callable[[], Any], timeout_s: float, what: str) -> None:
    """Wait until an awaitable condition holds; raise TimeoutError with ``what`` was waited for."""
    deadline = monotonic() + timeout_s
    while True:
        if await condition():
            return
        if monotonic() > deadline:
            raise TimeoutError(what)
        await asyncio.sleep(0.1)
