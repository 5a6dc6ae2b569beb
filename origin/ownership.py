"""The leases of a worker: which streams it may serve, kept alive and given up in time.

A lease is claimed before a publisher is accepted, renewed for all streams in one round trip, and
given up when the publisher leaves. A lease that another origin has taken is lost at once, by the
announcement or at the next renewal: its stream is not served any more (the fence).

Redis away: leases stay in force, new publishers get a provisional lease without an epoch, which is
claimed as soon as Redis answers. It then carries an epoch of the time when its publisher came, by
how long ago that was, so the newest publisher wins, whoever reaches Redis first. What was given up
meanwhile is given up again.

A worker that has slept (stopped, stuck) for about as long as a lease lives cannot know what it
still owns. It is not `trusted` until the table has been asked, or could not be reached.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import Final

from common.cluster.announcements import follow
from common.cluster.directory import Directory
from common.cluster.reach import Reach
from common.cluster.records import Claim, ClusterEvent, EventKind, Renewal, Route
from common.config.model import LeaseSettings, PublisherPolicy
from common.errors import DirectoryUnavailable, StreamTaken
from common.ids import OwnerId, StreamKey
from common.logs import get_log
from common.metrics import LEASE_EVENTS, begin
from origin.lease import Lease, LeaseHolder
from origin.race import Races
from origin.releases import Releases
from origin.sleep_watch import SleepWatch

EVENTS: Final = (*Renewal, "claimed", "released", "taken", "unavailable")
"""What becomes of leases, as it is counted."""

_log = get_log("origin.ownership")


class LeaseKeeper:
    """All leases of a worker. ``listeners`` hear every announcement after it."""

    def __init__(
        self,
        directory: Directory,
        settings: LeaseSettings,
        now: Callable[[], float] = monotonic,
    ) -> None:
        begin(LEASE_EVENTS, "event", EVENTS)
        self._directory = directory
        self._renew_s = settings.renew_s
        self._now = now
        self._leases: dict[StreamKey, Lease] = {}
        self._races = Races()
        self._table = Reach(_log, "leases stay in force")
        self._releases = Releases(directory, settings.ttl_s, now, self._table)
        self._renew_now = asyncio.Event()
        self._renewed = asyncio.Event()
        # A lease is in force for at least so long after whatever renewal was the last one.
        surely_s = max(settings.ttl_s - settings.renew_s, settings.ttl_s / 2)
        self._sleep = SleepWatch(surely_s, self._woke, now)
        self._loops: list[asyncio.Task[None]] = []
        self.listeners: list[Callable[[ClusterEvent], None]] = []

    @property
    def directory_ok(self) -> bool:
        """Whether the table is within reach."""
        return self._table.ok

    @property
    def trusted(self) -> bool:
        """Whether what is held may be served: the worker has not slept since it was renewed."""
        return not self._sleep.overslept

    def start(self) -> None:
        """Begin to renew and to listen."""
        self._sleep.start()
        self._loops = [
            asyncio.ensure_future(self._renew_for_ever()),
            asyncio.ensure_future(follow(self._directory, self._handle)),
        ]

    async def until_trusted(self) -> None:
        """Return when what is held may be served: at once, but after a sleep."""
        while not self.trusted:
            self._renewed.clear()
            await self._renewed.wait()

    def holds(self, stream: StreamKey) -> bool:
        """Return whether somebody of this worker has the lease of ``stream``."""
        return stream in self._leases

    async def acquire(
        self,
        claim: Claim,
        policy: PublisherPolicy,
        holder: LeaseHolder,
        *,
        over: int = 0,
        provisionally: bool = True,
    ) -> Lease:
        """Claim a stream for ``holder``; raises StreamTaken.

        A lease that this worker has for the same stream is replaced where the policy allows it:
        its holder is not told. ``over`` is as in `Directory.claim`. Without ``provisionally``
        raises DirectoryUnavailable when the table is away. Cancelled while the table is asked, it
        gives back what the table then grants.
        """
        stream, since = claim.stream, self._now()
        # The table would see the claim of a publisher that comes back as a second one's.
        await self._releases.wait(stream)
        held = self._leases.get(stream)
        if held is not None and policy is not PublisherPolicy.TAKEOVER:
            LEASE_EVENTS.labels(event="taken").inc()
            raise StreamTaken(stream, held.claim.node)
        race = self._races.begin(claim)
        asking = asyncio.ensure_future(self._claim(claim, policy, over))
        lease: Lease | None = None
        try:
            await asyncio.wait({asking})
            route = asking.result()
            race.judge(route)
            if route is None and not provisionally:
                raise DirectoryUnavailable("a stream is not taken from another without the table")
            held = self._leases.get(stream)
            if held is not None and not held.may_be_replaced(route, policy):
                raise StreamTaken(stream, held.claim.node)
            lease = self._leases[stream] = Lease(claim, policy, holder, route, since)
        except asyncio.CancelledError:
            self._releases.run(stream, self._give_back(asking))
            raise
        finally:
            self._races.end(race)
            if race.doubted and lease is None:
                self._renew_now.set()  # who held it here has lost it after all, or to another
        return lease

    def release(self, lease: Lease) -> bool:
        """Give a lease up; the table is told in the background. Returns whether it was ours.

        Nothing happens to a lease that is lost, or replaced by another of this worker.
        """
        stream = lease.claim.stream
        if self._leases.get(stream) is not lease:
            return False
        del self._leases[stream]
        if lease.route is not None:
            self._releases.add(lease.route)
        return True

    async def close(self) -> None:
        """Give all leases up and stop; returns when the table knows."""
        self._sleep.close()
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        for lease in list(self._leases.values()):
            self.release(lease)
        await self._releases.finish()

    async def _claim(
        self, claim: Claim, policy: PublisherPolicy, over: int = 0, age_s: float = 0.0
    ) -> Route | None:
        """Ask the table; None when it is away."""
        over = over or self._releases.unheard_epoch(claim.stream)
        try:
            route = await self._directory.claim(claim, policy, over=over, age_s=age_s)
        except StreamTaken:
            self._table.back()
            LEASE_EVENTS.labels(event="taken").inc()
            raise
        except DirectoryUnavailable as error:
            self._table.lost(str(error))
            LEASE_EVENTS.labels(event="unavailable").inc()
            return None
        self._table.back()
        LEASE_EVENTS.labels(event="claimed").inc()
        return route

    async def _give_back(self, asking: "asyncio.Task[Route | None]") -> None:
        """Release what a claim brings whose publisher is gone by now."""
        try:
            route = await asking
        except StreamTaken:
            return
        if route is not None:
            await self._releases.release(route)

    def _woke(self) -> None:
        _log.warning("worker has slept for longer than its leases live: asking before it serves")
        self._renew_now.set()

    async def _renew_for_ever(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._renew_s):
                    await self._renew_now.wait()
            except TimeoutError:
                pass  # it is time anyway
            await self._renew_once()

    async def _renew_once(self) -> None:
        self._sleep.tick()  # a sleep that is over by now is answered by what we ask now
        self._renew_now.clear()
        asked_at = self._now()
        try:
            await self._renew()
        except Exception as error:  # a bug met with one lease must not let all others run out
            _log.exception("renewal failed", error)
        self._sleep.confirm(asked_at)
        self._renewed.set()

    async def _renew(self) -> None:
        """Renew what is held, then give up and claim what could not be while the table was away."""
        try:
            complete = await self._renew_held()
        except DirectoryUnavailable as error:
            self._table.lost(str(error))
            return
        await self._releases.repeat()
        # All at once, for a part of the table may be away: none waits for another's deadline.
        provisional = [lease for lease in self._leases.values() if lease.route is None]
        await asyncio.gather(*(self._claim_provisional(lease) for lease in provisional))
        if not complete:
            self._table.lost("some leases could not be renewed")

    async def _renew_held(self) -> bool:
        """Act on what the table says of each lease; return whether it was asked of all."""
        leases = list(self._leases.values())
        held = [(lease, self._refreshed(lease.route, lease)) for lease in leases if lease.route]
        if not held:
            return True  # asking for nothing would not tell whether the table is there
        outcomes = await self._directory.renew([route for _, route in held])
        complete = None not in outcomes
        if complete:
            self._table.back()
        for (lease, _), outcome in zip(held, outcomes, strict=True):
            if outcome is Renewal.LOST:
                self._lost_to(None, lease)
            elif outcome is not None:
                LEASE_EVENTS.labels(event=outcome.value).inc()
        return complete

    def _refreshed(self, route: Route, lease: Lease) -> Route:
        """Return the route of ``lease`` with the codecs that are known by now."""
        codecs = lease.holder.codecs()
        if codecs != lease.claim.codecs:
            lease.claim = replace(lease.claim, codecs=codecs)
            lease.route = route = replace(route, claim=lease.claim)
        return route

    async def _claim_provisional(self, lease: Lease) -> None:
        race = self._races.begin(lease.claim)
        try:
            age_s = self._now() - lease.since
            route = await self._claim(lease.claim, lease.policy, age_s=age_s)
            race.judge(route)
        except StreamTaken:
            self._lose(lease, "taken")
            return
        finally:
            self._races.end(race)
        if route is None:
            return
        if self._leases.get(route.stream) is lease:
            lease.route = route
        else:  # released while we claimed
            self._releases.add(route)

    def _handle(self, event: ClusterEvent) -> None:
        try:
            self._take_note(event)
        finally:
            for listener in self.listeners:
                listener(event)

    def _take_note(self, event: ClusterEvent) -> None:
        if event.kind is EventKind.AWAY:
            self._table.lost("announcements are missed")
            return
        if event.kind is EventKind.RESYNC:
            self._table.back()
            self._renew_now.set()  # a flushed or restarted table is refilled now, not later
            return
        if event.kind is EventKind.CLAIMED and event.route is not None:
            self._races.hear(event.route)
        lease = self._leases.get(event.stream) if event.stream else None
        if lease is None:
            return
        if event.kind is EventKind.KICK:
            self._lose(lease, "kicked")
            if lease.route is not None:
                self._releases.add(lease.route)
        elif event.kind is EventKind.CLAIMED and event.route is not None:
            winner = event.route.claim.owner
            # A provisional lease is of no epoch yet: it is decided when it is claimed.
            if winner != lease.claim.owner and lease.route and event.route.epoch > lease.epoch:
                self._lost_to(winner, lease)

    def _lost_to(self, winner: OwnerId | None, lease: Lease) -> None:
        if self._races.doubt(lease.claim.stream, winner):
            # Perhaps to a publisher that has just come to this very worker: then the stream goes
            # on, and so do its relays. If it was somebody else, a renewal says so when it is known.
            return
        LEASE_EVENTS.labels(event="lost").inc()
        self._lose(lease, "taken_over")

    def _lose(self, lease: Lease, reason: str) -> None:
        if self._leases.get(lease.claim.stream) is not lease:
            return
        del self._leases[lease.claim.stream]
        _log.info("lease lost", stream=lease.claim.stream, epoch=lease.epoch, reason=reason)
        lease.holder.lease_lost(reason)
