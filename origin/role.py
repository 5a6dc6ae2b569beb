"""What an origin answers to clients: encoders publish, other nodes (and players) pull."""

from common.clock import Clock
from common.config.model import PublisherPolicy, Settings
from common.errors import StreamNameError, StreamNotFound
from common.net.roles import PlayOrder, Publishing
from common.net.session import Session
from common.rtmp.events import PublishRequested
from common.rtmp.limits import RtmpLimits
from common.stream.live import LiveStream
from common.supervisor.app import WorkerContext
from origin.hub import Hub
from origin.ingest import PublishSession
from origin.ownership import LeaseKeeper


class OriginRole:
    """The origin's side of every session."""

    def __init__(self, context: WorkerContext, hub: Hub, leases: LeaseKeeper, clock: Clock) -> None:
        self.context = context
        self.hub = hub
        self.leases = leases
        self.clock = clock
        self.relay_address = ""  # known once the relay port is open
        self.limits: RtmpLimits = context.settings.rtmp.limits()
        self._settings: Settings = context.settings

    def policy(self, app: str) -> PublisherPolicy:
        """Return what happens to a second publisher of a stream of ``app``."""
        publish = self._settings.publish
        return publish.app_policies.get(app, publish.policy)

    def publish(self, session: Session, request: PublishRequested) -> Publishing | None:
        """Begin a publish session."""
        try:
            name = session.stream_name(request.name)
        except StreamNameError as error:
            session.log.warning("publisher refused", reason=str(error))
            session.core.reject_publish(request.stream_id, "NetStream.Publish.BadName", str(error))
            return None
        return PublishSession(self, session, request.stream_id, name)

    def find(self, order: PlayOrder) -> LiveStream | None:
        """Return a stream that is published at this worker."""
        return self.hub.find(order.name.key)

    async def acquire(self, order: PlayOrder) -> LiveStream:
        """Refuse at once: who comes here was sent by the table, and waiting is the edge's."""
        raise StreamNotFound(order.name.key)

    def viewer_left(self, stream: LiveStream) -> None:
        """Nothing to do: a stream lives as long as its publisher."""
