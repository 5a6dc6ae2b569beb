"""What one client asks for on its connection, and who answers."""

from functools import lru_cache
from typing import Final

from common.errors import StreamNameError, UsageError
from common.metrics import DISCONNECTS
from common.net.hello import RelayHello, parse_hello
from common.net.last_gop import LastGop
from common.net.link import Link
from common.net.playback import Playback
from common.net.roles import PlayOrder, Publishing
from common.net.services import Services
from common.rtmp.events import (
    Closed,
    ConnectRequested,
    PauseChanged,
    PlayRequested,
    PlayStopped,
    PublishRequested,
    PublishStopped,
    ServerEvent,
    TrackChanged,
)
from common.rtmp.limits import MAX_STREAM_ID
from common.rtmp.message import Message
from common.stream.viewer import ViewerKind
from common.streamkey import StreamName, resolve

PUBLISHER_LOSSES: Final = (
    *("reset", "publisher_silent", "message_stalled", "replies_unread", "publish_ended"),
    *("publish_rejected", "malformed", "internal_error", "shutdown"),
)
"""How a worker may lose many publishers at once; what else there is single encoders do."""

MAX_SHARED_CHARS: Final = 512
"""Nothing longer is kept for others who may send the same: a client could fill it with anything."""


class Session:
    """A connected client: publishes one stream or plays one, or neither yet."""

    __slots__ = (
        "_app",
        "_ended",
        "_for_nodes",
        "_hello",
        "_playback",
        "_publishing",
        "_services",
        "_sibling",
        "_tc_url",
        "_unfed_since",
        "link",
        "software",
    )

    def __init__(self, link: Link, services: Services, *, sibling: bool, for_nodes: bool) -> None:
        self.link = link
        self.software = ""  # what the client says it is: its flashVer
        self._services = services
        self._sibling = sibling
        self._for_nodes = for_nodes  # came in where only our own nodes should
        self._app = ""
        self._tc_url = ""
        self._hello: RelayHello | None = None
        self._playback: Playback | None = None
        self._publishing: Publishing | None = None
        self._ended = False
        self._unfed_since: float | None = None  # congested all the time, and given nothing

    @property
    def plays(self) -> bool:
        """Whether the client plays, or has asked to."""
        return self._playback is not None

    @property
    def kind(self) -> str:
        """What the client is: publisher, standby, player, relay, sibling or client."""
        if self._publishing is not None:
            return "standby" if self._publishing.stands_by else "publisher"
        return self._viewer_kind().value if self._playback else "client"

    def media(self, messages: list[Message]) -> None:
        """Pass on a publisher's media."""
        if self._publishing is not None:
            self._publishing.media(messages)

    def congestion(self, congested: bool) -> None:
        """Tell the viewers of this connection that it is congested, or no longer."""
        if not congested:
            self._unfed_since = None
        if self._playback is not None:
            self._playback.congestion(congested)

    def is_stuck(self, now: float) -> bool:
        """Tell whether a congested client was given nothing for long, and has not taken the rest.

        The fan-out asks this of those whom it has skipped. Kept here, where neither a pause nor
        another play begins it anew: only an empty buffer does.
        """
        if self._is_fed():
            self._unfed_since = None
            return False
        if self._unfed_since is None:
            self._unfed_since = now
        return now - self._unfed_since > self._services.kick_after_s

    def handle(self, event: ServerEvent) -> None:
        """Act on what the client asks for."""
        if self._ended:
            return  # ended by what came before in the same read
        match event:
            case ConnectRequested():
                self._connect(event)
            case PublishRequested():
                self._publish(event)
            case PublishStopped():
                self._stop_publishing("unpublished")
            case PlayRequested():
                self._play(event)
            case PlayStopped():
                self._stop_playing()
            case PauseChanged(paused=paused) if self._playback is not None:
                self._playback.pause(paused)
            case TrackChanged() if self._playback is not None:
                self._playback.change_tracks(event)
            case PauseChanged() | TrackChanged():
                pass  # nothing is played; what is wanted is told again when it is
            case Closed() | Message():
                raise UsageError("handled by the connection")

    def stream_name(self, name: str) -> StreamName:
        """Return the stream that the client means; raises StreamNameError."""
        return _resolve(self._app, name, self._tc_url, self._services.vhosts)

    def closed(self, closed: Closed) -> None:
        """Note the end as the protocol sees it: the reason for metrics and the log."""
        self._end(closed.reason, closed.detail)

    def connection_lost(self, reason: str) -> None:
        """Note the end of the socket."""
        self._end(reason, "")

    def ask_to_reconnect(self, address: str) -> bool:
        """Ask the client to reconnect to ``address``, "" for the one it knows; see `Client`."""
        tc_url = f"{address}/{self._app}" if address else None
        return self.link.core.request_reconnect(tc_url, "this server is leaving")

    def end_at_keyframe(self, reason: str) -> None:
        """Close the connection where the publisher's next GOP begins."""
        if self._publishing is not None:
            self._publishing = LastGop(self._publishing, self.link, reason)

    def _connect(self, event: ConnectRequested) -> None:
        self._app = _shared(event.app)
        self._tc_url = _shared(event.tc_url)
        self.software = _shared(event.flash_ver[:128])
        self._hello = parse_hello(event.properties)
        node = self._services.node
        # A sibling's stream has come through this very node, of course.
        if self._hello is not None and node in self._hello.hops and not self._sibling:
            hops = " -> ".join((*self._hello.hops, node))
            self.link.log.limited("relay_loop").error(
                "relay refused: it would go round in a loop", hops=hops
            )
            self.link.core.reject_connect("NetConnection.Connect.Rejected", f"relay loop: {hops}")
        else:
            self.link.core.accept_connect()

    def _viewer_kind(self) -> ViewerKind:
        if self._sibling:
            return ViewerKind.SIBLING
        return ViewerKind.PLAYER if self._hello is None else ViewerKind.RELAY

    def _publish(self, event: PublishRequested) -> None:
        if self._for_nodes:
            # What a publisher must get past stands at the port for clients: this is no way around.
            self.link.log.warning("publisher refused", reason="this port is for relays")
            self.link.core.reject_publish(
                event.stream_id,
                "NetStream.Publish.Denied",
                "this port is for relays: publish to the one for clients",
            )
        elif self._services.registry.draining:
            # No error status: encoders take one for a bad stream key and give up. When they are
            # just closed, they come back, and then to another node.
            self.link.log.info("publisher turned away", reason="draining")
            self.link.close("draining")
        else:
            self._publishing = self._services.role.publish(self, event)

    def _play(self, event: PlayRequested) -> None:
        try:
            name = self.stream_name(event.name)
        except StreamNameError as error:
            self.link.core.reject_play(event.stream_id, "NetStream.Play.StreamNotFound", str(error))
            return
        if event.stream_id > MAX_STREAM_ID:
            self.link.core.reject_play(
                event.stream_id,
                "NetStream.Play.Failed",
                f"message stream id {event.stream_id} is over {MAX_STREAM_ID}",
            )
            return
        order = PlayOrder(name=name, kind=self._viewer_kind(), hello=self._hello)
        self._stop_playing()
        # Begun after it is known here: its first block may meet a congested transport.
        self._playback = Playback(self.link, self._services, event, order.kind)
        self._playback.begin(order)

    def _stop_playing(self) -> None:
        playback, self._playback = self._playback, None
        if playback is not None:
            playback.stop()

    def _stop_publishing(self, reason: str) -> None:
        publishing, self._publishing = self._publishing, None
        if publishing is not None:
            publishing.stop(reason)

    def _is_fed(self) -> bool:
        """Tell whether others see to what is not taken: the fan-out, or the limit of replies."""
        if self._playback is not None:
            return self._playback.is_fed
        return self._publishing is not None

    def _end(self, reason: str, detail: str) -> None:
        if self._ended:
            return
        self._ended = True
        kind = self.kind
        DISCONNECTS.inc(reason, kind=kind)
        if reason == "probe":
            self.link.log.debug("connection probed")
        elif reason not in ("eof", "closed", "refused"):
            self.link.log.limited(f"closed_{reason}").info(
                "connection closed", kind=kind, reason=reason, detail=detail
            )
        self._stop_publishing(reason)
        self._stop_playing()


def _resolve(app: str, name: str, tc_url: str, vhosts: frozenset[str]) -> StreamName:
    """Return the stream that is meant, kept where thousands of players may mean it in these words.

    Queries are for one player mostly, and what stands in them is the client's choice.
    """
    if len(app) + len(name) + len(tc_url) > MAX_SHARED_CHARS or "?" in app + name + tc_url:
        return resolve(app, name, tc_url, vhosts)
    return _kept_name(app, name, tc_url, vhosts)


def _shared(text: str) -> str:
    """Return the one copy that is kept of ``text``: thousands of players send the same.

    Not `sys.intern`: some releases of Python 3.12 never free what a client made them intern.
    """
    return text if len(text) > MAX_SHARED_CHARS else _kept_text(text)


_kept_name = lru_cache(maxsize=1024)(resolve)


@lru_cache(maxsize=1024)
def _kept_text(text: str) -> str:
    return text
