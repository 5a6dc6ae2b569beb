"""Where a pull relays from: a sibling worker, another edge of this zone, or the origin worker.

The sibling is the one that owns the stream's pull on this host, if that is not this worker; the
other edge is the stream's parent in this zone (`edge.zone`), if the origin is in another one; the
origin worker is the one in the route.

Whoever is asked for a relay goes further up. A pull that a sibling asked for is *direct*: it never
goes to a sibling. One that another node asked for is *to_origin*: it goes to no other edge, and,
where edges share pulls, to no sibling either. So workers and edges whose views differ for a moment
cannot feed each other.
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from common.cluster.records import Route
from common.errors import DirectoryUnavailable
from common.ids import NodeId, StreamKey
from common.metrics import PUBLISH_TO_EDGE, RELAY_ROUND_TRIP
from common.stream.viewer import ViewerKind
from edge.locate import Locator
from edge.rendezvous import owner_of
from edge.zone import Zone

MAX_PARENTS: Final = 2
"""Edges of the zone that are tried for a stream before its origin is: viewers are waiting."""

SUSPICIOUS: Final = frozenset(
    {"connect_failed", "connect_timeout", "silent", "no_media", "not_found", "refused"}
)
"""How a relay ends when the origin in the route is dead, frozen, cut off, or has lost the stream.
A standby may know better what to do about it than to wait for the end of the lease."""

_UNSERVED: Final = frozenset({"not_found", "refused", "ended", "no_media"})
"""How a relay ends when it is this stream that its source does not have; else it is the source."""


class Source(StrEnum):
    """What kind of place a pull relays from."""

    ORIGIN = "origin"
    SIBLING = "sibling"
    ZONE = "zone"

    def note_round_trip(self, seconds: float) -> None:
        """Take note of how long a ping took to there and back."""
        if self is Source.SIBLING:
            return  # it is no other node
        RELAY_ROUND_TRIP.observe(seconds)
        if self is Source.ORIGIN:  # of one hop of two it would say too little
            PUBLISH_TO_EDGE.observe(seconds / 2)


@dataclass(frozen=True, slots=True)
class Target:
    """Where to relay from: ``slot`` is a sibling's, ``parent`` an edge of this zone.

    Only the origin worker, or what answers in its place, has the route's ``epoch``.
    """

    address: str = ""
    epoch: int | None = None
    slot: int | None = None
    parent: NodeId | None = None

    @property
    def source(self) -> Source:
        """What kind of place it is."""
        if self.slot is not None:
            return Source.SIBLING
        return Source.ORIGIN if self.parent is None else Source.ZONE

    def __str__(self) -> str:
        return self.address if self.slot is None else f"worker {self.slot}"


class TargetFinder:
    """Chooses the targets of one pull, one after the other.

    ``members`` are the slots of this host's workers that can own a pull. ``misses`` counts the
    origin workers asked in a row that did not have the stream; see `Locator.place`.
    """

    def __init__(
        self,
        key: StreamKey,
        slot: int,
        locator: Locator,
        zone: Zone,
        members: Callable[[], frozenset[int]],
        retry_s: float,
    ) -> None:
        self.direct = False
        self.to_origin = False
        self.misses = 0
        self._parents_tried = 0
        self._origin_is_well = False  # as far as we know: it was not the origin that failed
        self._unserved: tuple[int, float] = (0, 0.0)
        self._key = key
        self._slot = slot
        self._locator = locator
        self._zone = zone
        self._members = members
        self._retry_s = retry_s
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """End a wait: something may have changed."""
        self._changed.set()

    # Who asks.

    def asked_by(self, kind: ViewerKind) -> bool:
        """Take note of who wants the stream; return whether that changes where it may be from."""
        before = self.direct, self.to_origin
        self.to_origin |= kind is ViewerKind.RELAY
        self.direct |= kind is ViewerKind.SIBLING or self._asked_as_parent
        return before != (self.direct, self.to_origin)

    def only_asked_by(self, kinds: Collection[ViewerKind]) -> None:
        """Take note of who is still here; there may be ten thousand."""
        self.to_origin = ViewerKind.RELAY in kinds
        self.direct = ViewerKind.SIBLING in kinds or self._asked_as_parent

    def members_changed(self) -> None:
        """Forget which siblings asked: they ask again. Other nodes do not."""
        self.direct = self._asked_as_parent

    @property
    def _asked_as_parent(self) -> bool:
        # The other node has chosen the owner, by what it knew of this host: if that is another
        # one by now, asking it could go round. A node outside of the zone has chosen nobody.
        return self.to_origin and self._zone.shares

    # Where to go.

    def owner(self) -> int | None:
        """Return the sibling to relay from; None when this worker pulls itself."""
        members = self._members()
        if self.direct or not members:
            return None
        owner = owner_of(self._key, members | {self._slot})
        return None if owner == self._slot else owner

    async def find(self, deadline: float) -> Target | None:
        """Return where to relay from, as soon as that is known; None when the time is over."""
        while True:
            self._changed.clear()
            owner = self.owner()
            if owner is not None:
                return Target(slot=owner)
            if (route := await self._route()) is not None:
                return self._choose(route)
            left = deadline - self._loop.time()
            if left <= 0:
                return None
            await self.pause(min(left, self._retry_s))

    async def pause(self, seconds: float) -> None:
        """Wait, but not longer than until something has changed."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _route(self) -> Route | None:
        known = self._locator.announced(self._key)
        origin_is_well, self._origin_is_well = self._origin_is_well, False
        if known and not self._locator.directory_ok:
            # A table that hangs would take all of its time to say nothing, after each loss.
            self._locator.ask_meanwhile(self._key)
            return known
        if known and origin_is_well:
            return known
        try:
            return await self._locator.find(self._key)
        except DirectoryUnavailable:
            return None

    def _choose(self, route: Route) -> Target:
        if self._may_have_parent(route) and (parent := self._zone.parent(route)) is not None:
            return Target(parent.address, parent=parent.node)
        return Target(self._locator.place(route, self.misses), route.epoch)

    def _may_have_parent(self, route: Route) -> bool:
        if self.to_origin or self._parents_tried >= MAX_PARENTS:
            return False
        return self._unserved[0] != route.epoch or self._unserved[1] <= self._loop.time()

    # What became of it.

    def why_leave(self, target: Target) -> str:
        """Return why ``target`` must not be used any longer; "" while it may be."""
        if self.owner() != target.slot:
            return "siblings_changed"
        if target.parent is None:
            return ""
        if self.to_origin:
            return "asked_by_a_node"
        return "parent_drains" if self._zone.is_draining(target.parent) else ""

    def prefers_another(self, target: Target, route: Route) -> bool:
        """Say whether the zone agrees on another place by now.

        To be asked now and then: a relay that runs well need not follow each change at once.
        """
        if target.parent is not None and self._zone.avoids(target.parent):
            return False  # other pulls had trouble with it, not this one
        chosen = self._choose(route)
        if chosen.parent is None and target.parent is None:
            return False  # whether it is the right origin is told by the route
        return (chosen.parent, chosen.address) != (target.parent, target.address)

    def streamed(self, target: Target) -> None:
        """Take note that there is media."""
        self.misses = 0
        self._parents_tried = 0
        if target.parent is not None:
            self._zone.has_streamed(target.parent)

    def parent_failed(self, parent: NodeId, reason: str) -> None:
        """Take note that a relay from another edge has ended; it is done without for a while.

        Where it is the stream that is at fault, the stream comes from its origin for as long: as
        long as the publisher is the same.
        """
        self._origin_is_well = True
        if reason not in _UNSERVED:
            self._parents_tried += 1
            self._zone.avoid(parent)
        elif (route := self._locator.announced(self._key)) is not None:
            self._unserved = (route.epoch, self._loop.time() + self._zone.cool_down_s)
