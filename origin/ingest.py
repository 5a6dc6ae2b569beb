"""A publish session: from an encoder's `publish` to its end."""

import asyncio
import secrets
from typing import TYPE_CHECKING

from common.cluster.records import Claim
from common.errors import StreamTaken
from common.ids import OwnerId, StreamKey
from common.net.session import Session
from common.rtmp.message import Message
from common.stream.ingest import StreamFeed
from common.streamkey import StreamName

if TYPE_CHECKING:
    from origin.hub import HeldStream
    from origin.ownership import Lease
    from origin.role import OriginRole


class PublishSession:
    """One encoder's publishing of one stream: claims it, feeds it, gives it up."""

    def __init__(
        self, role: "OriginRole", session: Session, stream_id: int, name: StreamName
    ) -> None:
        self.key: StreamKey = name.key
        self._app = name.app
        self._role = role
        self._session = session
        self._stream_id = stream_id
        self._owner = OwnerId(f"{role.context.node}/{role.context.slot}/{secrets.token_hex(6)}")
        self._log = session.log.bind(stream=self.key)
        self._held: HeldStream | None = None
        self._lease: Lease | None = None
        self._feed: StreamFeed | None = None
        self._over = False
        self._claiming = asyncio.ensure_future(self._claim())

    def media(self, message: Message) -> None:
        """Feed the stream."""
        if self._feed is not None:
            self._feed.take(message)

    def stop(self, reason: str) -> None:
        """End the session: the encoder has stopped or is gone."""
        if self._over:
            return
        self._over = True
        self._feed = None
        self._claiming.cancel()
        if self._lease is not None:
            self._role.leases.release(self._lease)
        self._log.info("publisher gone", reason=reason)
        self._role.hub.end(self, reason)

    def evict(self, reason: str) -> None:
        """Tell the encoder that the stream is not its own any more, and close."""
        if self._over:
            return
        description = f"{self.key}: {_EVICTIONS.get(reason, reason)}"
        self._session.core.end_publish(self._stream_id, "NetStream.Publish.BadName", description)
        self._session.connection.close(reason, description)

    def codecs(self) -> tuple[str, ...]:
        """Return the stream's codecs, for its route."""
        return self._held.live.codecs if self._held is not None else ()

    def lease_lost(self, reason: str) -> None:
        """Stop serving: the fence."""
        self.evict(reason)

    async def _claim(self) -> None:
        role = self._role
        claim = Claim(
            stream=self.key,
            owner=self._owner,
            node=role.context.node,
            address=role.relay_address,
            started_at=role.clock.wall(),
            client=self._session.connection.peer,
            encoder=self._session.encoder,
        )
        try:
            self._lease = await role.leases.acquire(claim, role.policy(self._app), self)
        except StreamTaken as error:
            self._over = True
            self._log.info("publisher refused", reason="stream_taken", holder=error.holder)
            self._session.core.reject_publish(
                self._stream_id, "NetStream.Publish.BadName", f"{self.key} is already published"
            )
            self._session.connection.pump()
            return
        self._held = role.hub.begin(self)
        self._feed = StreamFeed(self._held.live, self._held.timeline, role.limits)
        if not self._session.core.accept_publish(self._stream_id):
            self.stop("cancelled")
            return
        self._session.connection.pump()
        self._log.info("publisher accepted", encoder=claim.encoder, epoch=self._lease.epoch)


_EVICTIONS = {
    "taken_over": "another publisher has taken the stream over",
    "taken": "the stream is published elsewhere",
    "kicked": "ended by the operator",
}
