"""What an origin answers to clients: encoders publish, other nodes (and players) pull."""

import secrets

from common.clock import Clock
from common.cluster.records import Claim
from common.config.model import PublisherPolicy
from common.errors import StreamNameError, StreamNotFound
from common.ids import OwnerId, StreamKey
from common.net.roles import Encoder, PlayOrder, Publishing
from common.rtmp.events import PublishRequested
from common.stream.live import LiveStream
from common.supervisor.app import WorkerContext
from origin.claims import Claims
from origin.hub import Hub
from origin.ingest import PublishSession
from origin.ownership import LeaseKeeper
from origin.reading import Readings
from origin.standby import Standbys


class OriginRole:
    """The origin's side of every session."""

    def __init__(
        self,
        context: WorkerContext,
        hub: Hub,
        leases: LeaseKeeper,
        claims: Claims,
        standbys: Standbys,
        readings: Readings,
        clock: Clock,
    ) -> None:
        self.relay_address = ""  # "host:port" of this very worker, once the relay port is open
        self._context = context
        self._hub = hub
        self._leases = leases
        self._claims = claims
        self._standbys = standbys
        self._readings = readings
        self._clock = clock
        self._limits = context.settings.rtmp.limits()

    def publish(self, encoder: Encoder, request: PublishRequested) -> Publishing | None:
        """Begin a publish session."""
        try:
            name = encoder.stream_name(request.name)
        except StreamNameError as error:
            encoder.link.log.warning("publisher refused", reason=str(error))
            encoder.link.core.reject_publish(
                request.stream_id, "NetStream.Publish.BadName", str(error)
            )
            return None
        return PublishSession(
            encoder.link,
            request.stream_id,
            self._new_claim(name.key, encoder),
            self._policy(name.app),
            leases=self._leases,
            claims=self._claims,
            standbys=self._standbys,
            hub=self._hub,
            readings=self._readings,
            limits=self._limits,
        )

    def find(self, order: PlayOrder) -> LiveStream | None:
        """Return a stream that is published at this worker, unless that must be asked first."""
        return self._hub.find(order.name.key) if self._leases.trusted else None

    async def acquire(self, order: PlayOrder) -> LiveStream:
        """Refuse at once: who comes here was sent by the table, and waiting is the edge's.

        Only a worker that has slept waits, until it knows whether the stream is still its own.
        """
        await self._leases.until_trusted()
        stream = self._hub.find(order.name.key)
        if stream is None:
            raise StreamNotFound(order.name.key)
        return stream

    def viewer_left(self, stream: LiveStream) -> None:
        """Nothing to do: a stream lives as long as its publisher."""

    def _policy(self, app: str) -> PublisherPolicy:
        """Return what happens to a second publisher of a stream of ``app``."""
        publish = self._context.settings.publish
        return publish.app_policies.get(app, publish.policy)

    def _new_claim(self, stream: StreamKey, encoder: Encoder) -> Claim:
        context = self._context
        return Claim(
            stream=stream,
            owner=OwnerId(f"{context.node}/{context.slot}/{secrets.token_hex(6)}"),
            node=context.node,
            address=self.relay_address,
            started_at=self._clock.wall(),
            client=encoder.link.peer,
            encoder=encoder.software,
        )
