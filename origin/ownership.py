"""The leases of a worker: which streams it may serve, kept alive and given up in time.

A lease is claimed before a publisher is accepted, renewed for all streams in one round trip, and
given up when the publisher leaves. A lease that another origin has taken is lost at once, by the
announcement or at the next renewal: its stream is not served any more (the fence).

Redis away: leases stay in force, new publishers get a provisional lease without an epoch, which is
claimed as soon as Redis answers. It then carries the highest epoch, so there is one winner.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Protocol

from common.cluster.announcements import follow
from common.cluster.directory import Directory
from common.cluster.records import Claim, ClusterEvent, EventKind, Renewal, Route
from common.config.model import LeaseSettings, PublisherPolicy
from common.errors import DirectoryUnavailable, StreamTaken
from common.ids import OwnerId, StreamKey
from common.logs import get_log
from common.metrics import LEASE_EVENTS

_log = get_log("origin.ownership")


class LeaseHolder(Protocol):
    """Whoever publishes under a lease."""

    def codecs(self) -> tuple[str, ...]:
        """Return the stream's codecs as far as they are known, for the route."""
        ...

    def lease_lost(self, reason: str) -> None:
        """Stop serving the stream: it is somebody else's now, or an operator wants it gone."""
        ...


class Lease:
    """The right to serve one stream. Without a ``route`` it is provisional."""

    __slots__ = ("claim", "holder", "policy", "route")

    def __init__(
        self, claim: Claim, policy: PublisherPolicy, holder: LeaseHolder, route: Route | None
    ) -> None:
        self.claim = claim
        self.policy = policy
        self.holder = holder
        self.route = route

    @property
    def epoch(self) -> int:
        """The epoch of the lease; 0 while it is provisional."""
        return self.route.epoch if self.route else 0


class LeaseKeeper:
    """All leases of a worker."""

    def __init__(self, directory: Directory, settings: LeaseSettings) -> None:
        self._directory = directory
        self._renew_s = settings.renew_s
        self._leases: dict[StreamKey, Lease] = {}
        self._claiming: dict[OwnerId, StreamKey] = {}  # the table has been asked
        self._releasing: dict[asyncio.Task[None], StreamKey] = {}
        self._renew_now = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []
        self.directory_ok = True

    def start(self) -> None:
        """Begin to renew and to listen."""
        self._loops = [
            asyncio.ensure_future(self._renew_for_ever()),
            asyncio.ensure_future(follow(self._directory, self._handle)),
        ]

    async def acquire(self, claim: Claim, policy: PublisherPolicy, holder: LeaseHolder) -> Lease:
        """Claim a stream for ``holder``; raises StreamTaken.

        A lease that this worker has for the same stream is replaced: its holder is not told.
        Cancelled while the table is asked, it gives back what the table then grants.
        """
        stream = claim.stream
        if leaving := [task for task, each in self._releasing.items() if each == stream]:
            # The table would see the claim of a publisher that comes back as a second one's.
            await asyncio.wait(leaving)
        self._claiming[claim.owner] = stream
        asking = asyncio.ensure_future(self._claim(claim, policy))
        try:
            await asyncio.wait({asking})
        except asyncio.CancelledError:
            self._let_go(stream, self._give_back(asking))
            raise
        finally:
            del self._claiming[claim.owner]
        route = asking.result()
        current = self._leases.get(stream)
        if current is not None and not _may_replace(current, route, policy):
            raise StreamTaken(stream, current.claim.node)
        lease = self._leases[stream] = Lease(claim, policy, holder, route)
        return lease

    def release(self, lease: Lease) -> None:
        """Give a lease up; the table is told in the background.

        Nothing happens to a lease that is lost, or replaced by another of this worker.
        """
        stream = lease.claim.stream
        if self._leases.get(stream) is not lease:
            return
        del self._leases[stream]
        if lease.route is not None:
            self._let_go(stream, self._release(lease.route))

    async def close(self) -> None:
        """Give all leases up and stop; returns when the table knows."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        for lease in list(self._leases.values()):
            self.release(lease)
        while self._releasing:
            await asyncio.wait(list(self._releasing))

    async def _claim(self, claim: Claim, policy: PublisherPolicy) -> Route | None:
        """Ask the table; None when it is away."""
        try:
            route = await self._directory.claim(claim, policy)
        except StreamTaken:
            self._note_directory(True)
            LEASE_EVENTS.labels(event="taken").inc()
            raise
        except DirectoryUnavailable as error:
            self._note_directory(False, str(error))
            LEASE_EVENTS.labels(event="unavailable").inc()
            return None
        self._note_directory(True)
        LEASE_EVENTS.labels(event="claimed").inc()
        return route

    async def _give_back(self, asking: "asyncio.Task[Route | None]") -> None:
        """Release what a claim brings whose publisher is gone by now."""
        try:
            route = await asking
        except StreamTaken:
            return
        if route is not None:
            await self._release(route)

    def _let_go(self, stream: StreamKey, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._releasing[task] = stream
        task.add_done_callback(self._releasing.pop)

    async def _release(self, route: Route) -> None:
        try:
            if await self._directory.release(route):
                LEASE_EVENTS.labels(event="released").inc()
        except DirectoryUnavailable as error:
            # The lease runs out by itself.
            self._note_directory(False, str(error))

    async def _renew_for_ever(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._renew_s):
                    await self._renew_now.wait()
            except TimeoutError:
                pass  # it is time anyway
            self._renew_now.clear()
            try:
                await self._renew()
            except Exception as error:  # a bug met with one lease must not let all others run out
                _log.exception("renewal failed", error)

    async def _renew(self) -> None:
        leases = list(self._leases.values())
        held = [(lease, self._refreshed(lease.route, lease)) for lease in leases if lease.route]
        if held:  # asking for nothing would not tell whether the table is there
            try:
                outcomes = await self._directory.renew([route for _, route in held])
            except DirectoryUnavailable as error:
                self._note_directory(False, str(error))
                return
            self._note_directory(True)
            for (lease, _), outcome in zip(held, outcomes, strict=True):
                if outcome is Renewal.LOST:
                    self._lost_to_another(lease)
                else:
                    LEASE_EVENTS.labels(event=outcome.value).inc()
        for lease in leases:
            if self._leases.get(lease.claim.stream) is lease and lease.route is None:
                await self._claim_provisional(lease)
                if not self.directory_ok:
                    return  # each further claim would wait for the deadline of its own

    def _refreshed(self, route: Route, lease: Lease) -> Route:
        """Return the route of ``lease`` with the codecs that are known by now."""
        codecs = lease.holder.codecs()
        if codecs != lease.claim.codecs:
            lease.claim = replace(lease.claim, codecs=codecs)
            lease.route = route = replace(route, claim=lease.claim)
        return route

    async def _claim_provisional(self, lease: Lease) -> None:
        try:
            route = await self._claim(lease.claim, lease.policy)
        except StreamTaken:
            self._lose(lease, "taken")
            return
        if route is None:
            return
        if self._leases.get(route.stream) is lease:
            lease.route = route
        else:  # released while we claimed
            self._let_go(route.stream, self._release(route))

    def _handle(self, event: ClusterEvent) -> None:
        if event.kind is EventKind.RESYNC:
            self._note_directory(True)
            self._renew_now.set()  # a flushed or restarted table is refilled now, not later
            return
        lease = self._leases.get(event.stream) if event.stream else None
        if lease is None:
            return
        if event.kind is EventKind.KICK:
            self._lose(lease, "kicked")
            if lease.route is not None:
                self._let_go(lease.claim.stream, self._release(lease.route))
        elif event.kind is EventKind.CLAIMED and event.route is not None:
            other = event.route.claim.owner != lease.claim.owner
            # A provisional lease is of no epoch yet: it is decided when it is claimed.
            if other and lease.route is not None and event.route.epoch > lease.epoch:
                self._lost_to_another(lease)

    def _lost_to_another(self, lease: Lease) -> None:
        if lease.claim.stream in self._claiming.values():
            # Perhaps to a publisher that has just come to this very worker: then the stream goes
            # on, and so do its relays. If it was somebody else, the next renewal says so again.
            return
        LEASE_EVENTS.labels(event="lost").inc()
        self._lose(lease, "taken_over")

    def _lose(self, lease: Lease, reason: str) -> None:
        if self._leases.get(lease.claim.stream) is not lease:
            return
        del self._leases[lease.claim.stream]
        _log.info("lease lost", stream=lease.claim.stream, epoch=lease.epoch, reason=reason)
        lease.holder.lease_lost(reason)

    def _note_directory(self, ok: bool, problem: str = "") -> None:
        if ok != self.directory_ok:
            self.directory_ok = ok
            if ok:
                _log.info("routing table is back")
            else:
                _log.warning("routing table is away: leases stay in force", reason=problem)


def _may_replace(current: Lease, route: Route | None, policy: PublisherPolicy) -> bool:
    """Say whether a new claim with this answer of the table wins over a lease of this worker."""
    if route is None:
        return policy is not PublisherPolicy.REJECT  # the table would have said no
    # Two publishers came at once and their answers crossed: the later claim stands.
    return route.epoch >= current.epoch
