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

from common.cluster.directory import Directory
from common.cluster.records import Claim, ClusterEvent, EventKind, Renewal, Route
from common.config.model import LeaseSettings, PublisherPolicy
from common.errors import DirectoryUnavailable, StreamTaken
from common.ids import StreamKey
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
        self._renew_now = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.directory_ok = True

    def start(self) -> None:
        """Begin to renew and to listen."""
        self._spawn(self._renew_for_ever())
        self._spawn(self._listen_for_ever())

    async def acquire(self, claim: Claim, policy: PublisherPolicy, holder: LeaseHolder) -> Lease:
        """Claim a stream for ``holder``; raises StreamTaken.

        A lease that this worker has for the same stream is replaced: its holder is not told.
        """
        try:
            route = await self._directory.claim(claim, policy)
        except StreamTaken:
            LEASE_EVENTS.labels(event="taken").inc()
            raise
        except DirectoryUnavailable as error:
            self._note_directory(False, str(error))
            LEASE_EVENTS.labels(event="unavailable").inc()
            route = None
        else:
            self._note_directory(True)
            LEASE_EVENTS.labels(event="claimed").inc()
        lease = Lease(claim, policy, holder, route)
        current = self._leases.get(claim.stream)
        if current is not None and lease.epoch and current.epoch > lease.epoch:
            # Two publishers came at once and their answers crossed: the later claim stands.
            raise StreamTaken(claim.stream, current.claim.address)
        self._leases[claim.stream] = lease
        return lease

    def release(self, lease: Lease) -> None:
        """Give a lease up; the table is told in the background."""
        if self._leases.get(lease.claim.stream) is lease:
            del self._leases[lease.claim.stream]
        if lease.route is not None:
            self._spawn(self._release(lease.route))

    async def close(self) -> None:
        """Give all leases up and stop."""
        leases, self._leases = list(self._leases.values()), {}
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        releases = [self._release(lease.route) for lease in leases if lease.route is not None]
        await asyncio.gather(*releases)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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
            await self._renew()

    async def _renew(self) -> None:
        leases = list(self._leases.values())
        held = [lease for lease in leases if lease.route is not None]
        for lease in held:
            self._refresh_codecs(lease)
        try:
            outcomes = await self._directory.renew([each.route for each in held if each.route])
        except DirectoryUnavailable as error:
            self._note_directory(False, str(error))
            return
        self._note_directory(True)
        for lease, outcome in zip(held, outcomes, strict=True):
            LEASE_EVENTS.labels(event=outcome.value).inc()
            if outcome is Renewal.LOST:
                self._lose(lease, "taken_over")
        for lease in leases:
            if lease.route is None:
                await self._claim_provisional(lease)

    def _refresh_codecs(self, lease: Lease) -> None:
        codecs = lease.holder.codecs()
        if lease.route is not None and codecs != lease.claim.codecs:
            lease.claim = replace(lease.claim, codecs=codecs)
            lease.route = replace(lease.route, claim=lease.claim)

    async def _claim_provisional(self, lease: Lease) -> None:
        try:
            route = await self._directory.claim(lease.claim, lease.policy)
        except StreamTaken:
            self._lose(lease, "taken")
        except DirectoryUnavailable as error:
            self._note_directory(False, str(error))
        else:
            LEASE_EVENTS.labels(event="claimed").inc()
            lease.route = route
            if self._leases.get(route.stream) is not lease:  # released while we claimed
                await self._release(route)

    async def _listen_for_ever(self) -> None:
        async for event in self._directory.events():
            self._handle(event)

    def _handle(self, event: ClusterEvent) -> None:
        if event.kind is EventKind.RESYNC:
            self._renew_now.set()  # a flushed or restarted table is refilled now, not later
            return
        lease = self._leases.get(event.stream) if event.stream else None
        if lease is None:
            return
        if event.kind is EventKind.KICK:
            self._lose(lease, "kicked")
            if lease.route is not None:
                self._spawn(self._release(lease.route))
        elif (
            event.kind is EventKind.CLAIMED and event.route is not None and lease.route is not None
        ):
            other = event.route.claim.owner != lease.claim.owner
            if other and event.route.epoch > lease.epoch:
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
