"""The routing table in one process: the twin of the one in Redis, for tests."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from common.clock import Clock
from common.cluster.records import (
    Claim,
    ClusterEvent,
    EventKind,
    NodeLoad,
    NodeRecord,
    NodeState,
    Renewal,
    Route,
)
from common.config.model import LeaseSettings, PublisherPolicy
from common.errors import DirectoryUnavailable, StreamTaken
from common.ids import NodeId, StreamKey


@dataclass(frozen=True, slots=True)
class _Lease:
    route: Route
    expires_at: float


@dataclass(frozen=True, slots=True)
class _Node:
    record: NodeRecord
    load: NodeLoad
    expires_at: float


@dataclass(slots=True)
class MemoryTable:
    """What several `MemoryDirectory` objects share, as nodes share a Redis."""

    leases: dict[StreamKey, _Lease] = field(default_factory=dict)
    epochs: dict[StreamKey, int] = field(default_factory=dict)
    nodes: dict[NodeId, _Node] = field(default_factory=dict)
    listeners: set[asyncio.Queue[ClusterEvent]] = field(default_factory=set)
    reachable: bool = True
    away: set[StreamKey] = field(default_factory=set)
    """Streams of a part that is out of reach, as a shard may be."""

    def flush(self) -> None:
        """Forget everything, as FLUSHALL does."""
        self.leases.clear()
        self.epochs.clear()
        self.nodes.clear()

    def go_down(self) -> None:
        """Be out of reach: every call raises `DirectoryUnavailable`, nothing else is announced."""
        self.reachable = False
        self.announce(ClusterEvent(kind=EventKind.AWAY))

    def come_back(self) -> None:
        """Be in reach again; every listener is told to resync."""
        self.reachable = True
        self.announce(ClusterEvent(kind=EventKind.RESYNC))

    def announce(self, event: ClusterEvent) -> None:
        """Tell all listeners."""
        for queue in self.listeners:
            queue.put_nowait(event)


class MemoryDirectory:
    """A `Directory` on a ``table`` that others may share. Time passes as ``clock`` says."""

    def __init__(
        self,
        clock: Clock,
        *,
        table: MemoryTable | None = None,
        lease: LeaseSettings | None = None,
    ) -> None:
        self._clock = clock
        self.table = MemoryTable() if table is None else table
        self._ttl_s = (LeaseSettings() if lease is None else lease).ttl_s

    async def claim(
        self, claim: Claim, policy: PublisherPolicy, *, over: int = 0, age_s: float = 0.0
    ) -> Route:
        """Take a stream, as `Directory.claim` says."""
        table = self._reach(claim.stream)
        held = self._held(claim.stream)
        age_ms = int(age_s * 1000)
        came_ms = int(self._clock.wall() * 1000) - age_ms
        is_late = age_ms > 0 and held is not None and held.epoch > came_ms
        may_win = policy is PublisherPolicy.TAKEOVER and not is_late
        if held is not None and held.claim.owner == claim.owner:
            epoch = held.epoch
        elif held is not None and held.epoch != over and not may_win:
            raise StreamTaken(claim.stream, held.claim.node)
        else:
            last = table.epochs.get(claim.stream, 0)
            epoch = max(last + 1, came_ms)
        route = Route(claim=claim, epoch=epoch)
        self._hold(route)
        self._announce_claim(route)
        return route

    async def renew(self, routes: Sequence[Route]) -> list[Renewal | None]:
        """Prolong leases, as `Directory.renew` says."""
        away = self._reach().away
        if routes and all(route.stream in away for route in routes):
            raise DirectoryUnavailable("this part of the table is out of reach")
        return [None if route.stream in away else self._renew(route) for route in routes]

    async def release(self, route: Route) -> bool:
        """Give a stream up, as `Directory.release` says."""
        table = self._reach(route.stream)
        held = self._held(route.stream)
        if held is None or not _same_lease(held, route):
            return False
        del table.leases[route.stream]
        # See release.lua: a straggling renewal must find a higher epoch.
        table.epochs[route.stream] = max(table.epochs.get(route.stream, 0), route.epoch + 1)
        table.announce(
            ClusterEvent(kind=EventKind.RELEASED, stream=route.stream, epoch=route.epoch)
        )
        return True

    async def lookup(self, stream: StreamKey) -> Route | None:
        """Return who holds a stream now."""
        self._reach(stream)
        return self._held(stream)

    async def routes(self) -> list[Route]:
        """Return all routes, by stream."""
        table = self._reach()
        held = (self._held(stream) for stream in sorted(table.leases))
        return [route for route in held if route is not None]

    async def put_node(self, record: NodeRecord, load: NodeLoad) -> None:
        """Write a node's record and load, as `Directory.put_node` says."""
        table = self._reach()
        before = next(
            (one.record.state for one in self._alive() if one.record.id == record.id), None
        )
        expires_at = self._clock.monotonic() + self._ttl_s
        table.nodes[record.id] = _Node(record, load, expires_at)
        if record.state is NodeState.DRAINING and before is not NodeState.DRAINING:
            table.announce(ClusterEvent(kind=EventKind.DRAINING, node=record.id))

    async def remove_node(self, node: NodeId) -> None:
        """Forget a node."""
        self._reach().nodes.pop(node, None)

    async def nodes(self) -> list[NodeRecord]:
        """Return all nodes that are alive, by id."""
        self._reach()
        return [node.record for node in self._alive()]

    async def loads(self) -> list[NodeLoad]:
        """Return what each node does for each stream, by node."""
        self._reach()
        return [node.load for node in self._alive()]

    async def kick(self, stream: StreamKey) -> None:
        """Announce that a stream's publisher is to be disconnected."""
        self._reach().announce(ClusterEvent(kind=EventKind.KICK, stream=stream))

    async def suspect(self, stream: StreamKey, epoch: int) -> None:
        """Announce that the holder of a stream cannot be reached."""
        self._reach().announce(ClusterEvent(kind=EventKind.SUSPECT, stream=stream, epoch=epoch))

    async def events(self) -> AsyncGenerator[ClusterEvent, None]:
        """Yield announcements, as `Directory.events` says."""
        queue: asyncio.Queue[ClusterEvent] = asyncio.Queue()
        kind = EventKind.RESYNC if self.table.reachable else EventKind.AWAY
        queue.put_nowait(ClusterEvent(kind=kind))
        self.table.listeners.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self.table.listeners.discard(queue)

    async def close(self) -> None:
        """Do nothing: there are no connections."""

    def _reach(self, stream: StreamKey | None = None) -> MemoryTable:
        if not self.table.reachable or stream in self.table.away:
            raise DirectoryUnavailable("the table is out of reach")
        return self.table

    def _held(self, stream: StreamKey) -> Route | None:
        lease = self.table.leases.get(stream)
        if lease is None or lease.expires_at <= self._clock.monotonic():
            return None
        return lease.route

    def _hold(self, route: Route) -> None:
        table = self.table
        table.leases[route.stream] = _Lease(route, self._clock.monotonic() + self._ttl_s)
        table.epochs[route.stream] = max(table.epochs.get(route.stream, 0), route.epoch)

    def _renew(self, route: Route) -> Renewal:
        held = self._held(route.stream)
        if held is not None and _same_lease(held, route):
            self._hold(route)
            return Renewal.KEPT
        held_epoch = 0 if held is None else held.epoch
        if self.table.epochs.get(route.stream, 0) > route.epoch or held_epoch >= route.epoch:
            return Renewal.LOST
        self._hold(route)
        self._announce_claim(route)
        return Renewal.RESTORED

    def _announce_claim(self, route: Route) -> None:
        self.table.announce(
            ClusterEvent(
                kind=EventKind.CLAIMED, stream=route.stream, epoch=route.epoch, route=route
            )
        )

    def _alive(self) -> list[_Node]:
        now = self._clock.monotonic()
        nodes = sorted(self.table.nodes.values(), key=lambda node: node.record.id)
        return [node for node in nodes if node.expires_at > now]


def _same_lease(held: Route, route: Route) -> bool:
    return held.claim.owner == route.claim.owner and held.epoch == route.epoch
