"""A publish session: from an encoder's `publish` to its end.

It claims its stream and feeds it. Under the policy `standby` it may have to wait for that, and
feeds a stream of its own meanwhile, which nobody sees.
"""

import asyncio
from dataclasses import replace

from common.cluster.records import Claim
from common.config.model import PublisherPolicy
from common.errors import StreamTaken, UsageError
from common.ids import StreamKey
from common.net.link import Link, close_on_error
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message
from common.stream.ingest import StreamFeed
from origin.claims import Claims
from origin.hub import HeldStream, Hub
from origin.lease import Lease
from origin.ownership import LeaseKeeper
from origin.reading import Reading, Readings
from origin.standby import Standbys
from origin.warm import WarmStream


class PublishSession:
    """One encoder's publishing of one stream: claims it, feeds it, gives it up."""

    def __init__(
        self,
        link: Link,
        stream_id: int,
        claim: Claim,
        policy: PublisherPolicy,
        *,
        leases: LeaseKeeper,
        claims: Claims,
        standbys: Standbys,
        hub: Hub,
        readings: Readings,
        limits: RtmpLimits,
    ) -> None:
        self._link = link
        self._stream_id = stream_id
        self._claim = claim
        self._leases = leases
        self._claims = claims
        self._standbys = standbys
        self._hub = hub
        self._readings = readings
        self._limits = limits
        self._log = link.log.bind(stream=claim.stream)
        self._held: HeldStream | None = None
        self._warm: WarmStream | None = None  # while on standby
        self._lease: Lease | None = None
        self._feed: StreamFeed | None = None
        self._reading: Reading | None = None
        self._over = False
        self._kept: list[Message] | None = None  # while it is not known whether we may serve
        self._asking: asyncio.Task[None] | None = None
        self._starting = asyncio.ensure_future(self._start(policy))
        close_on_error(self._starting, link)

    @property
    def key(self) -> StreamKey:
        """The stream that is published."""
        return self._claim.stream

    @property
    def claim(self) -> Claim:
        """What the session wants to own, with the codecs that are known by now."""
        return replace(self._claim, codecs=self.codecs())

    @property
    def stands_by(self) -> bool:
        """Whether it waits for its stream."""
        return self._warm is not None

    def media(self, messages: list[Message]) -> None:
        """Feed the stream; after a sleep of the worker, only when its leases are confirmed."""
        if self._feed is None:
            return
        if self._kept is None and self._leases.trusted:
            self._feed.take(messages)
        else:
            self._keep(messages)

    def stop(self, reason: str) -> None:
        """End the session: the encoder has stopped or is gone."""
        if self._over:
            return
        self._over = True
        self._feed = None
        if self._reading is not None:
            self._readings.end(self._reading)
        self._starting.cancel()
        if self._asking is not None:
            self._asking.cancel()
            self._take_kept()
        if self._warm is not None:
            self._standbys.leave(self)
            self._log.info("standby gone", reason=reason)
            return
        given_up = self._lease is not None and self._leases.release(self._lease)
        self._log.info("publisher gone", reason=reason)
        self._hub.end(self, reason, has_heir=given_up and self._standbys.inherit(self.key))

    def evict(self, reason: str) -> None:
        """Tell the encoder that the stream is not its own any more, and close."""
        if self._over:
            return
        description = f"{self.key}: {_EVICTIONS.get(reason, reason)}"
        self._link.core.end_publish(self._stream_id, "NetStream.Publish.BadName", description)
        self._link.close(reason, description)

    def codecs(self) -> tuple[str, ...]:
        """Return the stream's codecs, for its route."""
        fed = self._held or self._warm
        return fed.live.codecs if fed is not None else ()

    def lease_lost(self, reason: str) -> None:
        """Stop serving: the fence."""
        self.evict(reason)

    def promote(self, lease: Lease) -> None:
        """Become the publisher: the stream goes on with the last GOP, and then what follows it."""
        warm, self._warm = self._warm, None
        if warm is None:
            raise UsageError("only a standby is promoted")
        self._lease = lease
        self._held = self._hub.begin(self)
        clock = warm.pour(self._held.live, self._held.timeline)
        self._feed = StreamFeed(self._held.live, clock, self._limits)
        if self._reading is not None:
            self._reading.feeds(self._held.live)
        self._log.info("standby promoted", encoder=self._claim.encoder, epoch=lease.epoch)

    async def _start(self, policy: PublisherPolicy) -> None:
        """Claim the stream, then let the encoder send."""
        try:
            self._lease = await self._claims.acquire(self._claim, policy, self)
        except StreamTaken as error:
            if policy is PublisherPolicy.STANDBY and self._standbys.admit(self):
                self._stand_by(error.holder)
            else:
                self._refuse(error)
            return
        self._held = self._hub.begin(self)
        self._feed = StreamFeed(self._held.live, self._held.timeline, self._limits)
        self._reading = self._readings.begin(self._link, self._held.live)
        if self._let_send():
            epoch = self._lease.epoch
            self._log.info("publisher accepted", encoder=self._claim.encoder, epoch=epoch)

    def _stand_by(self, holder: str) -> None:
        self._warm = self._hub.warm(self.key)
        self._feed = StreamFeed(self._warm.live, self._warm.timeline, self._limits)
        self._reading = self._readings.begin(self._link, self._warm.live)
        if self._let_send():
            self._log.info("publisher stands by", encoder=self._claim.encoder, holder=holder)

    def _let_send(self) -> bool:
        accepted = self._link.core.accept_publish(self._stream_id)
        if accepted:
            self._link.pump()
        else:
            self.stop("cancelled")
        return accepted

    def _keep(self, messages: list[Message]) -> None:
        """Keep what came in the same read; the encoder's next bytes wait in its socket."""
        if self._kept is None:
            self._kept = []
            self._link.pause_reading()
            self._asking = asyncio.ensure_future(self._go_on())
            close_on_error(self._asking, self._link)
        self._kept += messages

    async def _go_on(self) -> None:
        """Feed what was kept, if the stream is still ours: otherwise the session is over."""
        await self._leases.until_trusted()
        self.media(self._take_kept())

    def _take_kept(self) -> list[Message]:
        kept, self._kept = self._kept, None
        if kept is not None:
            self._link.resume_reading()
        return kept or []

    def _refuse(self, error: StreamTaken) -> None:
        self._over = True
        self._log.info("publisher refused", reason="stream_taken", holder=error.holder)
        self._link.core.reject_publish(
            self._stream_id, "NetStream.Publish.BadName", f"{self.key} is already published"
        )
        self._link.pump()


_EVICTIONS = {
    "taken_over": "another publisher has taken the stream over",
    "taken": "the stream is published elsewhere",
    "kicked": "ended by the operator",
}
