"""One accepted RTMP connection: the asyncio shell round `ServerConnection`.

Each read does four things in fixed order: feed the bytes to the core, hand its events to the
session, write what the core wants written, and act on an end. The shell owns the socket; the core
knows the protocol; the session knows what the client wants.
"""

import asyncio
import os
import socket
from typing import Final, cast

from common.errors import PeerError
from common.logs import Log, get_log
from common.metrics import CONNECTIONS_REFUSED
from common.net.deadlines import NEVER
from common.net.door import TOO_MANY, Door, Visitor
from common.net.parting import Parting
from common.net.services import Services
from common.net.session import Session
from common.net.transport import descriptor, peer_name, plain_socket
from common.rtmp.events import Closed, media_together
from common.rtmp.server import ServerConnection

MAX_UNREAD_REPLIES: Final = 256 * 1024
"""A client that asks and asks but does not read the answers is closed at this many bytes of them.
Viewers have limits of their own."""

MAX_READ_S: Final = 0.02
"""A read that took longer is followed by a rest of as long: the loop reads up to 32 times from one
socket before anything else gets a turn, and a client that sends what is dear to take in could
keep a worker from its heartbeat until the supervisor kills it."""

MAX_REST_S: Final = 0.25
"""A process that was stopped in the middle of a read, or a machine that slept, shall not make its
client wait for as long again."""

REFUSALS: Final = (
    *("closing", "too_many_connections", "too_few_descriptors", TOO_MANY),
    *("proxy_header_missing", "proxy_header_malformed"),
)
"""Why a connection is refused before any use."""

PROBE: Final = "probe"
"""How a connection ends that never said anything: a load balancer wanted to know if we live."""

_log = get_log("rtmp")


class RtmpConnection(asyncio.Protocol):
    """A client's connection, from accept to the last byte."""

    __slots__ = (
        "_closing",
        "_connection_id",
        "_door",
        "_lost",
        "_parting",
        "_reading_pauses",
        "_services",
        "_session",
        "_sibling",
        "_socket",
        "_visitor",
        "congested",
        "core",
        "transport",
        "watched_at",
    )

    core: ServerConnection
    transport: asyncio.Transport
    _session: Session

    def __init__(
        self, services: Services, *, door: Door | None = None, sibling: bool = False
    ) -> None:
        self._services = services
        self._door = door  # of the port for clients; None where only our own nodes come in
        self._visitor: Visitor | None = None
        self._socket: socket.SocketType | None = None  # of those who play
        self._sibling = sibling
        self._connection_id = services.registry.new_connection_id()
        self._closing = False
        self.congested = False
        self._lost = False
        self._reading_pauses = 0
        self._parting: Parting | None = None  # from our end of it to the last byte
        self.watched_at = NEVER

    @property
    def peer(self) -> str:
        """The client's address; asked for now and then, so not kept for thousands of viewers."""
        if self._lost:
            return ""
        told = self._visitor.address if self._visitor is not None else ""
        return told or peer_name(self.transport)

    @property
    def log(self) -> Log:
        """A logger that names the client and its connection."""
        return _log.bind(peer=self.peer, connection=self._connection_id)

    @property
    def kind(self) -> str:
        """What the client is: publisher, standby, player, relay, sibling or client."""
        return self._session.kind

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; or refuse at once when the worker is full or going."""
        # A cast, not a check: uvloop's transports are not registered as asyncio's.
        self.transport = cast("asyncio.Transport", transport)
        services = self._services
        self.core = ServerConnection(
            services.limits,
            now=services.now(),
            chunk_size=services.chunk_size,
            random_bytes=os.urandom,
        )
        for_nodes = self._door is None
        self._session = Session(self, services, sibling=self._sibling, for_nodes=for_nodes)
        try:
            services.registry.admit(self, descriptor(transport), relay=for_nodes)
            if self._door is not None:
                self._visitor = self._open_door(self._door)
        except PeerError as error:
            self._refuse(error)
            return
        # Report every unsent byte: the fan-out sorts out slow viewers by these callbacks.
        self.transport.set_write_buffer_limits(high=0)
        services.deadlines.watch(self, self.core.next_deadline())

    def data_received(self, data: bytes) -> None:
        """Feed the core with what has come."""
        services = self._services
        services.registry.bytes_in += len(data)
        if self._closing:
            if self._parting is not None:
                self._parting.drop(data)
            return
        if self._visitor is not None and self._visitor.awaits_header:
            data = self._receive_header(self._visitor, data)
            if not data:
                return
        began = services.now()
        self.core.receive_data(data, began)
        self.pump()
        took = services.now() - began
        if took > MAX_READ_S:
            self._rest(min(took, MAX_REST_S))
        if self.congested and not self._closing:
            unread = self.transport.get_write_buffer_size()
            # The fan-out sees to viewers, but not to the replies of one that is paused.
            most = services.viewer_bytes if self._session.plays else MAX_UNREAD_REPLIES
            if unread > most:
                self.abort("replies_unread")

    def eof_received(self) -> bool:
        """Note the end of input; the transport closes itself after this."""
        if not self._closing:
            if self.core.bytes_received:
                self.core.receive_eof(self._services.now())
            else:
                self.core.close(PROBE)
            self.pump()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Give everything back."""
        # First of all: after this call the transport closes the descriptor, as uvloop's and
        # asyncio's both do, and its number is the next client's. Whoever still writes gets EBADF,
        # and our socket object, which would close it a second time, has forgotten it.
        if self._socket is not None:
            self._socket.detach()
        self._closing = True
        if self._parting is not None:
            self._parting.end()
            self._parting = None
        self._services.registry.forget(self)
        self._services.deadlines.forget(self)
        if self._visitor is not None:
            self._visitor.leave()
        if not self.core.bytes_received:
            reason = PROBE
        else:
            reason = "reset" if isinstance(exc, ConnectionError) else "closed"
        self._session.connection_lost(reason)
        self._lost = True
        # Nobody asks for these any more, and they hold us: without the circle a connection's
        # memory is free at once, not at the next full collection.
        del self._session, self.transport

    def pause_writing(self) -> None:
        """Tell the session's viewers that the peer does not take what it is sent."""
        self.congested = True
        self._session.congestion(True)
        self._services.deadlines.watch(self, self._services.now() + self._services.lag_limit_s)

    def resume_writing(self) -> None:
        """Tell them that it does again."""
        self.congested = False
        self._session.congestion(False)

    def check_deadline(self, now: float) -> float | None:
        """Let the core act on a deadline, and part with a client that takes nothing more."""
        if self._closing:
            return None
        if self.congested and self._session.is_stuck(now):
            self.abort("too_slow")
            return None
        self.core.handle_deadline(now)
        self.pump()
        due = self.core.next_deadline()
        if due is None or not self.congested:
            return due
        return min(due, now + self._services.lag_limit_s)

    def plain_socket(self) -> socket.SocketType | None:
        """Return the socket itself, for a viewer; see `Link`."""
        if self._socket is None:
            self._socket = plain_socket(self.transport)
        return self._socket

    def pause_reading(self) -> None:
        """Leave what the client sends in TCP until `resume_reading`; who else pauses it counts."""
        self._reading_pauses += 1
        if self._reading_pauses == 1 and not self._lost and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Take one pause back, and read on when it was the last."""
        self._reading_pauses -= 1
        if not self._reading_pauses and not self._lost and not self.transport.is_closing():
            self.transport.resume_reading()

    def pump(self) -> None:
        """Move events to the session and bytes to the socket until neither brings more.

        Must be called after each call of a method of the core.
        """
        core = self.core
        session = self._session
        closed: Closed | None = None
        changed = False
        more = True
        while more:
            more = False  # media brings nothing more; what is asked and answered may
            for event in media_together(core.events()):
                if isinstance(event, list):
                    session.media(event)
                elif isinstance(event, Closed):
                    closed = event
                else:
                    changed = more = True
                    session.handle(event)
        if output := core.data_to_send():
            changed = True
            self.write(output)
        if closed is not None:
            self._end(closed)
        elif changed:  # a state was entered that may have an earlier deadline
            self._services.deadlines.watch(self, core.next_deadline())

    def write(self, data: bytes) -> None:
        """Send ``data``, unless the connection is over."""
        if not self._lost and not self.transport.is_closing():
            self.transport.write(data)

    def close(self, reason: str, detail: str = "") -> None:
        """End the connection from our side; what is written already is still sent."""
        if not self._closing:
            self.core.close(reason, detail)
            self.pump()

    def ask_to_reconnect(self, address: str) -> bool:
        """Ask the client to reconnect, if it has said that it can; say whether it was asked."""
        if self._closing or not self._session.ask_to_reconnect(address):
            return False
        self.pump()
        return True

    def end_at_keyframe(self, reason: str, within_s: float) -> None:
        """End a publisher where its next GOP begins, at most after ``within_s``."""
        if not self._closing:
            self._session.end_at_keyframe(reason)
            self._services.loop.call_later(within_s, self.close, reason)

    def abort(self, reason: str) -> None:
        """End the connection at once; nothing more is sent."""
        if not self._closing:
            self.core.close(reason)
            self.pump()
        if not self._lost:
            self.transport.abort()

    def _open_door(self, door: Door) -> Visitor | None:
        peer = self.transport.get_extra_info("peername")
        if peer is None:  # reset already: what it still has to say comes from nowhere
            self._closing = True
            self.transport.abort()
            return None
        return door.open_for(peer[0])

    def _receive_header(self, visitor: Visitor, data: bytes) -> bytes:
        """Let the door take its part of what has come first; return the client's."""
        try:
            return visitor.receive(data)
        except PeerError as error:
            self._refuse(error)
            return b""

    def _refuse(self, error: PeerError) -> None:
        """Close at once, before any use: an encoder behind a balancer then tries another node."""
        _log.limited(error.reason).warning(
            "connection refused", peer=self.peer, reason=error.reason, detail=error.detail
        )
        CONNECTIONS_REFUSED.inc(error.reason)
        self._closing = True
        self._session.connection_lost("refused")
        self.transport.abort()

    def _rest(self, pause_s: float) -> None:
        """Leave the loop to others for a while."""
        self.pause_reading()
        self._services.loop.call_later(pause_s, self.resume_reading)

    def _end(self, closed: Closed) -> None:
        self._closing = True
        self._session.closed(closed)
        if self._lost or self.transport.is_closing():
            return
        services = self._services
        self._parting = Parting(self.transport, services.loop, behind_s=services.lag_limit_s)
        self._parting.begin(peer_has_ended=closed.reason in ("eof", PROBE))
