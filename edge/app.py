"""An edge worker, put together."""

import asyncio

from common.cluster.directory import Directory
from common.cluster.redis_directory import RedisDirectory
from common.net.drain import Farewell
from common.net.meters import Meters
from common.net.server import RtmpServer
from common.net.services import Services
from common.stream.flusher import Flusher
from common.stream.viewer import ViewerKind
from common.supervisor.app import WorkerContext, WorkerStatus
from common.supervisor.relay_port import listen_for_relays
from edge.locate import Locator
from edge.role import EdgeRole
from edge.streams import Streams
from edge.zone import Zone


def make_app(context: WorkerContext) -> "EdgeApp":
    """Make the worker as it runs in a cluster: with the routing table in Redis."""
    settings = context.settings
    return EdgeApp(context, RedisDirectory(settings.redis, settings.lease))


class EdgeApp:
    """Serves viewers on the shared RTMP port, and its sibling workers on a Unix socket."""

    def __init__(self, context: WorkerContext, directory: Directory) -> None:
        settings = context.settings
        loop = asyncio.get_running_loop()
        self._context = context
        self._directory = directory
        self._flusher = Flusher(settings.fanout, loop)
        self._locator = Locator(self._directory, settings.edge.negative_cache_s, loop.time)
        self._zone = Zone(self._directory, context, loop.time)
        self._locator.on_draining = self._zone.drains
        self._streams = Streams(context, self._locator, self._zone, self._flusher)
        role = EdgeRole(self._streams)
        self._services = Services.of(settings, role, context.node, loop)
        self._server = RtmpServer(self._services, settings.rtmp.backlog)
        self._meters = Meters(
            self._services,
            self._flusher,
            streams=lambda: self._streams.live,
            ingress_bytes=self._ingress_bytes,
            # Those of other edges are counted there.
            counted=(ViewerKind.PLAYER,),
        )
        self._relay_address = ""
        self._metering: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the sibling socket, the port for other edges if they may ask, the shared port."""
        context = self._context
        await self._server.listen_siblings(context.sibling_socket(context.slot))
        if self._zone.shares:
            self._relay_address = await listen_for_relays(self._server, context)
        await self._zone.start()
        self._locator.start()
        await self._server.listen_tcp(context.rtmp_host, context.rtmp_port, shared=True)
        self._metering = asyncio.ensure_future(self._meters.run(self._streams.measure))

    def status(self) -> WorkerStatus:
        """Return the figures for the heartbeat."""
        loads = self._meters.loads
        return WorkerStatus(
            viewers=sum(load.viewers for load in loads.values()),
            ingress_bytes=self._ingress_bytes(),
            egress_bytes=self._flusher.totals.bytes_out,
            directory_ok=self._locator.directory_ok,
            streams=loads,
            relay=self._relay_address,
        )

    def members_changed(self, slots: frozenset[int]) -> None:
        """Let pulls change hands with the workers of this host."""
        self._streams.members_changed(slots)

    async def retire(self) -> None:
        """Keep those who are here until they leave."""
        self._server.leave_shared_ports()
        self._streams.stop_lingering()
        await self._services.registry.wait_empty()

    async def drain(self, timeout_s: float) -> None:
        """Send viewers elsewhere, and serve sibling workers until theirs have gone."""
        self._server.leave_shared_ports()
        self._streams.stop_lingering()
        settings = self._context.settings.drain
        await Farewell(self._services.registry, settings, timeout_s).viewers()

    async def stop(self) -> None:
        """Close everything."""
        if self._metering is not None:
            self._metering.cancel()
        await self._server.stop()
        await self._streams.close()
        await self._zone.close()
        await self._locator.close()
        await self._directory.close()

    def _ingress_bytes(self) -> int:
        return self._services.registry.bytes_in + self._streams.bytes_in
