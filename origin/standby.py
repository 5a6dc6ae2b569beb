"""Publishers on standby: sending to streams that others publish, and taking them over in time.

Theory of operation. The standbys of one stream queue up, first come first served. Something says
that the stream may be without a publisher; then, one attempt at a time for each stream, the table
is asked, perhaps the holder itself, and the first standby claims the stream, if it may. The claim
is a compare-and-set, so of all workers with standbys one wins, and the others stay as they are.

* The holder has given the stream up (RELEASED, or it was a publisher of this worker): claim it.
* An edge cannot reach the holder (SUSPECT): if it does not answer us either, claim over exactly
  its epoch, so that one who has moved on is not overthrown.
* The table does not know the stream (seen in the periodic look-up, which repairs what was missed):
  the holder's lease ran out, or the table was flushed and the holder is about to put it back. If
  the holder answers, it gets `PATIENCE` renewal periods for that.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from time import monotonic
from typing import Final, Protocol

from common.cluster.directory import Directory
from common.cluster.records import Claim, ClusterEvent, EventKind, Route, StreamLoad
from common.config.model import PublisherPolicy
from common.errors import DirectoryUnavailable, StreamTaken
from common.ids import StreamKey
from common.logs import get_log
from origin.hub import Hub
from origin.lease import Lease, LeaseHolder
from origin.ownership import LeaseKeeper

MAX_STANDBYS: Final = 4
"""Standbys of one stream at one worker; each keeps a GOP, and more help nobody."""

PROBE_S: Final = 0.3
"""For a suspected holder to answer: one round trip of a few, on any network that carries media."""

PATIENCE: Final = 2
"""Renewal periods: one in which the holder must put its route back, one for a look-up that fell
between."""

_log = get_log("origin.standby")


class Standby(LeaseHolder, Protocol):
    """A publish session on standby."""

    @property
    def claim(self) -> Claim:
        """What it wants to own."""
        ...

    def promote(self, lease: Lease) -> None:
        """Become the publisher of the stream, under ``lease``."""
        ...


class _Queue:
    """The standbys of one stream, and what is known of the one they wait for."""

    __slots__ = (
        "attending",
        "holder",
        "inherits",
        "missing_since",
        "suspected",
        "vacant",
        "waiting",
    )

    def __init__(self) -> None:
        self.waiting: list[Standby] = []
        self.holder: Route | None = None  # when the table was last seen to know one
        self.missing_since: float | None = None  # since the table does not
        self.vacant = False
        self.inherits = False  # from a publisher of this worker: its relays wait
        self.suspected = 0  # the epoch
        self.attending: asyncio.Task[None] | None = None


class Standbys:
    """All standbys of a worker."""

    def __init__(
        self,
        directory: Directory,
        leases: LeaseKeeper,
        hub: Hub,
        serves: Callable[[Route], Awaitable[bool]],
        period_s: float,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._directory = directory
        self._leases = leases
        self._hub = hub
        self._serves = serves
        self._period_s = period_s
        self._now = now
        self._queues: dict[StreamKey, _Queue] = {}
        self._checking: asyncio.Task[None] | None = None
        self._closed = False

    def added_to(self, loads: Mapping[StreamKey, StreamLoad]) -> dict[StreamKey, StreamLoad]:
        """Return what the worker does for each stream, its standbys counted."""
        counted = {
            stream: replace(loads.get(stream, StreamLoad()), standbys=count)
            for stream, count in self.counts.items()
        }
        return {**loads, **counted}

    @property
    def counts(self) -> dict[StreamKey, int]:
        """How many standbys there are, by stream."""
        return {stream: len(queue.waiting) for stream, queue in self._queues.items()}

    def start(self) -> None:
        """Begin to listen and to look streams up."""
        self._leases.listeners.append(self.handle)
        self._checking = asyncio.ensure_future(self._check_for_ever())

    def stop_promoting(self) -> None:
        """Take over nothing any more, and take nobody in: the worker is going."""
        self._closed = True

    async def close(self) -> None:
        """Stop everything."""
        self.stop_promoting()
        tasks = [queue.attending for queue in self._queues.values()] + [self._checking]
        running = [task for task in tasks if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def admit(self, standby: Standby) -> bool:
        """Let ``standby`` wait for its stream; False when there are enough of them."""
        stream = standby.claim.stream
        queue = self._queues.get(stream)
        if self._closed or (queue is not None and len(queue.waiting) >= MAX_STANDBYS):
            return False
        if queue is None:
            queue = self._queues[stream] = _Queue()
        queue.waiting.append(standby)
        self._attend(stream, queue)  # the stream may have been given up since it was refused
        return True

    def leave(self, standby: Standby) -> None:
        """Take note that ``standby`` is gone."""
        stream = standby.claim.stream
        queue = self._queues.get(stream)
        if queue is not None and standby in queue.waiting:
            queue.waiting.remove(standby)
            self._forget_empty(stream, queue)

    def inherit(self, stream: StreamKey) -> bool:
        """Take note that a publisher of this worker has given ``stream`` up.

        Returns whether a standby of this worker is about to take it.
        """
        queue = self._queues.get(stream)
        if queue is None or not queue.waiting or self._closed:
            return False
        queue.vacant = queue.inherits = True
        self._attend(stream, queue)
        return True

    def handle(self, event: ClusterEvent) -> None:
        """Act on an announcement."""
        if event.kind is EventKind.RESYNC:
            self._attend_all()
            return
        queue = self._queues.get(event.stream) if event.stream else None
        if queue is None or event.stream is None:
            return
        holder = queue.holder
        if event.kind is EventKind.CLAIMED:
            if event.route is not None and (holder is None or event.epoch >= holder.epoch):
                queue.holder = event.route
                queue.missing_since = None
        elif event.kind is EventKind.RELEASED and (holder is None or event.epoch >= holder.epoch):
            queue.vacant = True
            self._attend(event.stream, queue)
        elif event.kind is EventKind.SUSPECT:
            queue.suspected = event.epoch
            self._attend(event.stream, queue)

    async def _check_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._period_s)
            self._attend_all()

    def _attend_all(self) -> None:
        for stream, queue in list(self._queues.items()):
            self._attend(stream, queue)

    def _attend(self, stream: StreamKey, queue: _Queue) -> None:
        """See to a stream, now or right after what is under way for it."""
        if queue.attending is None and not self._closed:
            queue.attending = asyncio.ensure_future(self._see_to(stream, queue))

    async def _see_to(self, stream: StreamKey, queue: _Queue) -> None:
        try:
            await self._try(stream, queue)
            while queue.waiting and (queue.vacant or queue.suspected):
                await self._try(stream, queue)
        except DirectoryUnavailable:
            pass  # the leases say so in the log; the next period, or a RESYNC, asks again
        finally:
            if queue.inherits and not self._leases.holds(stream):
                self._hub.disinherit(stream)
            queue.inherits = False
            queue.attending = None
            self._forget_empty(stream, queue)

    async def _try(self, stream: StreamKey, queue: _Queue) -> None:
        vacant, suspected = queue.vacant, queue.suspected
        queue.vacant = False
        queue.suspected = 0
        if self._leases.holds(stream):
            return
        over = 0 if vacant else await self._vacancy(stream, queue, suspected)
        if over is not None and queue.waiting and not self._closed:
            await self._promote(queue, over)

    async def _vacancy(self, stream: StreamKey, queue: _Queue, suspected: int) -> int | None:
        """Return the epoch to claim over, 0 for a stream that nobody holds; None: it is held."""
        route = await self._directory.lookup(stream)
        if route is not None:
            queue.holder = route
            queue.missing_since = None
            is_dead = route.epoch == suspected and not await self._serves(route)
            return route.epoch if is_dead else None
        holder, now = queue.holder, self._now()
        if queue.missing_since is None:
            queue.missing_since = now
        if holder is None or now - queue.missing_since >= PATIENCE * self._period_s:
            return 0
        return None if await self._serves(holder) else 0

    async def _promote(self, queue: _Queue, over: int) -> None:
        standby = queue.waiting[0]
        claim = standby.claim
        try:
            lease = await self._leases.acquire(
                claim,
                PublisherPolicy.STANDBY,
                standby,
                over=over,
                # What a publisher of this worker gave up needs no table to be known as free.
                provisionally=queue.inherits,
            )
        except StreamTaken as error:
            _log.info("standby stays", stream=claim.stream, holder=error.holder)
            return
        if standby not in queue.waiting or self._closed:  # gone, or going, while we claimed
            self._leases.release(lease)
            queue.vacant = True
            return
        queue.waiting.remove(standby)
        queue.holder = lease.route
        queue.missing_since = None
        standby.promote(lease)

    def _forget_empty(self, stream: StreamKey, queue: _Queue) -> None:
        if not queue.waiting and queue.attending is None and self._queues.get(stream) is queue:
            del self._queues[stream]
