"""An origin worker, put together."""

import asyncio

from common.clock import SystemClock
from common.cluster.directory import Directory
from common.cluster.records import Route
from common.cluster.redis_directory import RedisDirectory
from common.metrics import DISCONNECTS, STANDBY_PUBLISHERS
from common.net.drain import Farewell
from common.net.meters import Meters
from common.net.server import RtmpServer
from common.net.services import Services
from common.net.session import PUBLISHER_LOSSES
from common.stream.flusher import Flusher
from common.supervisor.app import WorkerContext, WorkerStatus
from common.supervisor.relay_port import listen_for_relays
from origin.claims import Claims
from origin.hub import Hub
from origin.ownership import LeaseKeeper
from origin.probe import serves
from origin.reading import Readings
from origin.role import OriginRole
from origin.standby import PROBE_S, Standbys


def make_app(context: WorkerContext) -> "OriginApp":
    """Make the worker as it runs in a cluster: with the routing table in Redis."""
    settings = context.settings
    return OriginApp(context, RedisDirectory(settings.redis, settings.lease))


class OriginApp:
    """Accepts publishers on the shared RTMP port, serves relays on a port of its own."""

    def __init__(self, context: WorkerContext, directory: Directory) -> None:
        settings = context.settings
        loop = asyncio.get_running_loop()
        self._context = context
        self._directory = directory
        self._flusher = Flusher(settings.fanout, loop)
        self._hub = Hub(settings, self._flusher, loop)
        self._leases = LeaseKeeper(self._directory, settings.lease)
        self._standbys = Standbys(
            self._directory, self._leases, self._hub, self._serves, settings.lease.renew_s
        )
        self._readings = Readings(settings.publish.unwatched_read_ms)
        self._role = OriginRole(
            context,
            self._hub,
            self._leases,
            Claims(self._directory, self._leases, self._serves),
            self._standbys,
            self._readings,
            SystemClock(),
        )
        self._services = Services.of(settings, self._role, context.node, loop)
        self._server = RtmpServer(self._services, settings.rtmp.backlog)
        self._meters = Meters(
            self._services,
            self._flusher,
            streams=lambda: self._hub.streams,
            publishers=lambda: self._hub.publishers,
            ingress_bytes=lambda: self._services.registry.bytes_in,
        )
        self._metering: asyncio.Task[None] | None = None
        DISCONNECTS.begin(PUBLISHER_LOSSES, kind="publisher")

    async def start(self) -> None:
        """Open both ports."""
        context = self._context
        # The relay port first: an accepted publisher needs its address for the route.
        self._role.relay_address = await listen_for_relays(self._server, context)
        self._leases.start()
        self._standbys.start()
        await self._server.listen_tcp(context.rtmp_host, context.rtmp_port, shared=True)
        self._metering = asyncio.ensure_future(
            self._meters.run(self._count_standbys, self._readings.review)
        )

    def status(self) -> WorkerStatus:
        """Return the figures for the heartbeat."""
        loads = self._standbys.added_to(self._meters.loads)
        return WorkerStatus(
            viewers=sum(load.viewers for load in loads.values()),
            publishers=self._hub.publishers,
            ingress_bytes=self._services.registry.bytes_in,
            egress_bytes=self._flusher.totals.bytes_out,
            directory_ok=self._leases.directory_ok,
            streams=loads,
        )

    def members_changed(self, slots: frozenset[int]) -> None:
        """Nothing to do: a stream stays at the worker that its encoder reached."""

    async def retire(self) -> None:
        """Keep those who are here until they leave."""
        self._server.leave_shared_ports()
        await self._services.registry.wait_empty()

    async def drain(self, timeout_s: float) -> None:
        """Send publishers elsewhere, and serve relays until they have gone."""
        self._standbys.stop_promoting()
        self._server.leave_shared_ports()
        settings = self._context.settings.drain
        await Farewell(self._services.registry, settings, timeout_s).publishers()

    async def stop(self) -> None:
        """Close everything, and give the leases up so that nobody waits for them."""
        if self._metering is not None:
            self._metering.cancel()
        await self._standbys.close()
        await self._server.stop()
        await self._leases.close()
        await self._directory.close()

    async def _serves(self, route: Route) -> bool:
        limits = self._context.settings.rtmp.limits()
        return await serves(route, self._context.node, limits, PROBE_S)

    def _count_standbys(self) -> None:
        STANDBY_PUBLISHERS.set(sum(self._standbys.counts.values()))
