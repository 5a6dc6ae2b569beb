"""The edges of this worker's zone: which of them pulls a stream from another zone for all.

Theory of operation. Each worker reads the listing of nodes now and then, so all of them know the
same edges, and rendezvous hashing gives them the same *parent* for a stream without a word.
Views may differ for a moment: then a stream crosses twice. It never goes round, since a pull that
another node has asked for goes to the origin itself (`edge.target`).

The listing says whom to choose, not whom to leave: a relay that runs proves its parent alive,
better than a record does that has expired, or that a flushed table has lost. Only a parent that
drains is left at once, as soon as its announcement or its record says so; one that is no longer
chosen is left with the next check of the pull.

One that has failed is avoided for a while, by all pulls of this worker, and for twice as long each
time that it fails again without having brought anything. None of this needs the table to answer:
while it is away, the last listing stands.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from common.cluster.directory import Directory
from common.cluster.records import NodeRecord, NodeRole, NodeState, Route
from common.errors import DirectoryUnavailable
from common.ids import NodeId
from common.logs import get_log
from common.supervisor.app import WorkerContext
from edge.rendezvous import owner_of

MAX_COOL_DOWN_S: Final = 600.0
"""An edge that fails again and again is not avoided for longer, unless the settings say so."""

_log = get_log("edge.zone")


@dataclass(frozen=True, slots=True)
class Parent:
    """The edge that pulls a stream for its zone, and the relay address of the worker that does."""

    node: NodeId
    address: str


class Zone:
    """What is known of the zone; of no zone at all where `edge.zone_relay` is off."""

    def __init__(
        self, directory: Directory, context: WorkerContext, now: Callable[[], float]
    ) -> None:
        settings = context.settings
        self._directory = directory
        self._node = context.node
        self._here = settings.node.zone if settings.edge.zone_relay else ""
        # A listing is a scan of the table; what is urgent is learned without it.
        self._period_s = settings.lease.ttl_s
        # At least until the record of one that has died is gone, and that is known here.
        self.cool_down_s = max(settings.edge.recheck_s, 2 * settings.lease.ttl_s)
        self._now = now
        self._zones: dict[NodeId, str] = {}  # of all nodes
        self._parents: dict[NodeId, tuple[str, ...]] = {}  # relay addresses of serving edges here
        self._draining: set[NodeId] = set()
        self._avoided: dict[NodeId, float] = {}  # until when
        self._cool_downs: dict[NodeId, float] = {}  # of those that have streamed nothing since
        self._reading: asyncio.Task[None] | None = None
        self.on_drain: Callable[[], None] = lambda: None
        """Called when an edge here is found to drain: who relays from it has to leave."""

    @property
    def shares(self) -> bool:
        """Whether this edge shares pulls with others of its zone: it is told to, and has one."""
        return bool(self._here)

    async def start(self) -> None:
        """Read the listing, so that it is known to the first viewer, and keep on doing so."""
        if self.shares:
            await self.refresh()
            self._reading = asyncio.ensure_future(self._read_for_ever())

    async def close(self) -> None:
        """Stop reading."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    def parent(self, route: Route) -> Parent | None:
        """Return whom to relay a stream from; None when this worker goes to its origin itself.

        It does when the origin is here, when either zone is not known, or when it is this node
        that pulls for the others.
        """
        there = self._zones.get(route.claim.node, "")
        if not self.shares or not there or there == self._here:
            return None
        # The listing may be older than the drain, and stands for as long as the table is away.
        serving = self._parents.keys() - self._draining
        candidates = [node for node in serving if not self.avoids(node)]
        if not candidates:
            return None
        node = owner_of(route.stream, candidates)
        if node == self._node:
            return None
        relays = self._parents[node]
        # As its workers agree on it, so that the one that pulls the stream is asked.
        slot = owner_of(route.stream, [slot for slot, relay in enumerate(relays) if relay])
        return Parent(node, relays[slot])

    def drains(self, node: NodeId) -> None:
        """Take note that ``node`` has said so."""
        if node in self._parents:
            # A listing from before may still arrive.
            self._avoided[node] = self._now() + self.cool_down_s
            self._note_draining(self._draining | {node})

    def is_draining(self, node: NodeId) -> bool:
        """Say whether ``node`` is an edge here that is about to leave."""
        return node in self._draining

    def avoid(self, node: NodeId) -> None:
        """Choose others for a while: ``node`` cannot be reached, or has failed.

        A pull that tries it again leaves a relay that runs, so it must not do so for ever: where
        the record is good and only the way there is blocked, nothing else would end it.
        """
        if not self.avoids(node):  # else another pull has told of the same failure
            _log.warning("an edge of this zone is done without", node=node)
            longer = 2 * self._cool_downs.get(node, self.cool_down_s / 2)
            self._cool_downs[node] = min(longer, max(MAX_COOL_DOWN_S, self.cool_down_s))
        self._avoided[node] = self._now() + self._cool_downs.get(node, self.cool_down_s)

    def has_streamed(self, node: NodeId) -> None:
        """Take note that a relay from ``node`` has brought media."""
        self._cool_downs.pop(node, None)

    def avoids(self, node: NodeId) -> bool:
        """Say whether that while is not over."""
        return self._avoided.get(node, 0.0) > self._now()

    async def refresh(self) -> None:
        """Read the listing; while the table is away, the last one stands."""
        try:
            nodes = await self._directory.nodes()
        except DirectoryUnavailable:
            return  # whoever looks streams up says so
        self._zones = {node.id: node.zone for node in nodes}
        here = [node for node in nodes if node.role is NodeRole.EDGE and node.zone == self._here]
        self._parents = {node.id: node.relays for node in here if _serves(node)}
        self._avoided = {node: until for node, until in self._avoided.items() if self.avoids(node)}
        self._cool_downs = {node: s for node, s in self._cool_downs.items() if node in self._zones}
        self._note_draining({node.id for node in here if node.state is NodeState.DRAINING})

    def _note_draining(self, draining: set[NodeId]) -> None:
        more = draining - self._draining
        self._draining = draining
        if more:
            self.on_drain()

    async def _read_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._period_s)
            try:
                await self.refresh()
            except Exception as error:  # a bug met once must not leave an old listing for good
                _log.limited("refresh").exception("reading the nodes failed", error)


def _serves(node: NodeRecord) -> bool:
    return node.state is NodeState.SERVING and any(node.relays)
