"""A publish session: from an encoder's `publish` to its end."""

import asyncio

from common.cluster.records import Claim
from common.config.model import PublisherPolicy
from common.errors import StreamTaken
from common.ids import StreamKey
from common.net.link import Link
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message
from common.stream.ingest import StreamFeed
from origin.hub import HeldStream, Hub
from origin.lease import Lease
from origin.ownership import LeaseKeeper


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
        hub: Hub,
        limits: RtmpLimits,
    ) -> None:
        self._link = link
        self._stream_id = stream_id
        self._claim = claim
        self._leases = leases
        self._hub = hub
        self._limits = limits
        self._log = link.log.bind(stream=claim.stream)
        self._held: HeldStream | None = None
        self._lease: Lease | None = None
        self._feed: StreamFeed | None = None
        self._over = False
        self._kept: list[Message] | None = None  # while it is not known whether we may serve
        self._asking: asyncio.Task[None] | None = None
        self._starting = asyncio.ensure_future(self._start(policy))

    @property
    def key(self) -> StreamKey:
        """The stream that is published."""
        return self._claim.stream

    def media(self, message: Message) -> None:
        """Feed the stream; after a sleep of the worker, only when its leases are confirmed."""
        if self._feed is None:
            return
        if self._kept is None and self._leases.trusted:
            self._feed.take(message)
        else:
            self._keep(message)

    def stop(self, reason: str) -> None:
        """End the session: the encoder has stopped or is gone."""
        if self._over:
            return
        self._over = True
        self._feed = None
        self._starting.cancel()
        if self._asking is not None:
            self._asking.cancel()
            self._take_kept()
        if self._lease is not None:
            self._leases.release(self._lease)
        self._log.info("publisher gone", reason=reason)
        self._hub.end(self, reason)

    def evict(self, reason: str) -> None:
        """Tell the encoder that the stream is not its own any more, and close."""
        if self._over:
            return
        description = f"{self.key}: {_EVICTIONS.get(reason, reason)}"
        self._link.core.end_publish(self._stream_id, "NetStream.Publish.BadName", description)
        self._link.close(reason, description)

    def codecs(self) -> tuple[str, ...]:
        """Return the stream's codecs, for its route."""
        return self._held.live.codecs if self._held is not None else ()

    def lease_lost(self, reason: str) -> None:
        """Stop serving: the fence."""
        self.evict(reason)

    async def _start(self, policy: PublisherPolicy) -> None:
        """Claim the stream, then let the encoder send."""
        try:
            self._lease = await self._leases.acquire(self._claim, policy, self)
        except StreamTaken as error:
            self._refuse(error)
            return
        self._held = self._hub.begin(self)
        self._feed = StreamFeed(self._held.live, self._held.timeline, self._limits)
        if not self._link.core.accept_publish(self._stream_id):
            self.stop("cancelled")
            return
        self._link.pump()
        self._log.info("publisher accepted", encoder=self._claim.encoder, epoch=self._lease.epoch)

    def _keep(self, message: Message) -> None:
        """Keep what came in the same read; the encoder's next bytes wait in its socket."""
        if self._kept is None:
            self._kept = []
            if not self._link.transport.is_closing():
                self._link.transport.pause_reading()
            self._asking = asyncio.ensure_future(self._go_on())
        self._kept.append(message)

    async def _go_on(self) -> None:
        """Feed what was kept, if the stream is still ours: otherwise the session is over."""
        await self._leases.until_trusted()
        for message in self._take_kept():
            self.media(message)

    def _take_kept(self) -> list[Message]:
        kept, self._kept = self._kept, None
        if kept is not None and not self._link.transport.is_closing():
            self._link.transport.resume_reading()
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
