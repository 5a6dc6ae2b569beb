"""One pull: an RTMP play session towards the node that has the stream.

The shell round `ClientConnection`, as `common.net.connection` is round the server core. It is plain
RTMP, so it can pull from any RTMP server.
"""

import asyncio
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final, cast

from common.config.address import join_address, split_address
from common.errors import RelayError
from common.ids import StreamKey
from common.media.flv import is_coded
from common.rtmp.client import ClientConnection, Mode
from common.rtmp.events import (
    ClientEvent,
    Closed,
    Connected,
    PlayStarted,
    Pong,
    ReconnectRequested,
    Refused,
    StreamEnded,
    media_together,
)
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import DATA_AMF0, Message
from common.streamkey import to_request

_TIMER_S: Final = 0.001
"""Timers have this resolution: so much later it is surely over."""

CHUNK_SIZE: Final = 4096
"""For the few commands that we send upstream."""

_NOT_FOUND: Final = "NetStream.Play.StreamNotFound"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamAddress:
    """Where to pull from: a worker of another node, or a sibling's Unix socket."""

    host: str = ""
    port: int = 0
    unix: Path | None = None

    @classmethod
    def parse(cls, address: str) -> "UpstreamAddress":
        """Return the address in a route, "host:port"; raises RelayError."""
        try:
            host, port = split_address(address)
        except ValueError as error:
            raise RelayError("bad_address", f"route to {address!r}: {error}") from error
        if not host or not port:
            raise RelayError("bad_address", f"route to {address!r} names no host or port")
        return cls(host=host, port=port)

    def __str__(self) -> str:
        if self.unix is not None:
            return self.unix.name
        return join_address(self.host, self.port)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamTimes:
    """Deadlines of a pull, and how often it pings, in seconds."""

    connect_s: float
    first_media_s: float  # to audio or video, from the connection and from the accepted play
    silence_s: float  # nothing at all, not even the answer to a ping
    media_silence_s: float = math.inf  # no message of the stream, once there was more than headers
    ping_s: float = 1.0
    """While nothing comes: answers tell a silent publisher, whose origin is alive, from an origin
    that is gone. A third of ``silence_s`` where that is less."""
    measure_s: float = 5.0
    """While the stream comes: then a ping only measures the round trip, and costs as much as a
    read."""
    first_ping_s: float = 0.25
    """How soon the first ping follows, at most, when the other end has let us in."""


class Upstream:
    """A running pull: an asyncio protocol. Its end is a result: await `ended` for the reason.

    It has no base class, for what is compiled can have none that is not.
    """

    def __init__(
        self,
        core: ClientConnection,
        times: UpstreamTimes,
        on_media: Callable[[list[Message]], None],
        on_first_media: Callable[[], None],
        on_round_trip: Callable[[float], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._core = core
        self._times = times
        self._on_media = on_media
        self._on_first_media = on_first_media
        self._on_round_trip = on_round_trip
        self._transport: asyncio.Transport | None = None
        self._heard_at = self._waiting_since = monotonic()
        self._has_media = False
        self._has_frames = False  # and not just codec headers
        self._media_at = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._ping_interval_s = min(times.ping_s, times.silence_s / 3)
        self._can_ping = False
        self._pinged_at = 0.0
        self.ended: asyncio.Future[RelayError] = self._loop.create_future()
        self.bytes_in = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        # A cast, not a check: uvloop's transports are not registered as asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._core.start()
        self._pump()
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Feed the core with what has come."""
        self._heard_at = monotonic()
        self.bytes_in += len(data)
        self._core.receive_data(data, self._heard_at)
        self._pump()

    def eof_received(self) -> None:
        """Leave it to the transport to close: `connection_lost` follows."""

    def pause_writing(self) -> None:
        """Write on: pings and acknowledgements are few, and answers to pings limited by rate."""

    def resume_writing(self) -> None:
        """Write on."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end of the socket."""
        self._finish(RelayError("lost", str(exc) if exc else "connection closed"))

    def close(self) -> None:
        """Leave in good order."""
        if self._transport is not None and not self.ended.done():
            self._core.finish(monotonic())
            self._write()
        self._finish(RelayError("left"))

    def _pump(self) -> None:
        for event in media_together(self._core.events()):
            if self.ended.done():
                return  # nobody listens any more
            if isinstance(event, list):
                self._on_media(event)
                if self._has_frames:
                    self._media_at = self._heard_at
                else:
                    self._note_beginning(event)
            else:
                self._handle(event)
        self._write()

    def _handle(self, event: ClientEvent) -> None:
        match event:
            case Refused(code=code, description=description):
                reason = "not_found" if code == _NOT_FOUND else "refused"
                self._finish(RelayError(reason, description or code))
            case StreamEnded(code=code):
                self._finish(RelayError("ended", code))
            case ReconnectRequested():
                self._finish(RelayError("reconnect_requested"))
            case Closed(reason=reason, detail=detail):
                self._finish(RelayError("closed", f"{reason} {detail}".strip()))
            case Pong(rtt_s=rtt_s):
                self._on_round_trip(rtt_s)
            case Connected():
                self._can_ping = True
            case PlayStarted():
                self._waiting_since = monotonic()

    def _note_beginning(self, messages: list[Message]) -> None:
        """Take note of the first media: headers, and in time what they are for.

        A node sends headers alone where the next keyframe is far away. Until it comes there is no
        silence but that of pings.
        """
        media = [each for each in messages if each.type_id != DATA_AMF0]
        if any(is_coded(each.type_id, each.payload) for each in media):
            self._has_frames = True
            self._media_at = self._heard_at
        if media and not self._has_media:
            self._has_media = True
            self._on_first_media()

    def _write(self) -> None:
        output = self._core.data_to_send()
        if output and self._transport is not None and not self._transport.is_closing():
            self._transport.write(output)

    def _watch(self) -> None:
        """Notice silence, and ping: both when they are due, not per read."""
        if self.ended.done():
            return
        now = monotonic()
        times = self._times
        silent_at = self._heard_at + times.silence_s
        if self._has_media:
            missed_at, within_s = self._media_at + times.media_silence_s, times.media_silence_s
        else:
            missed_at, within_s = self._waiting_since + times.first_media_s, times.first_media_s
        if missed_at <= silent_at < missed_at + self._ping_interval_s:
            # Cut off in the middle of a message: it is the other end that is gone, and not what it
            # pulls from, or it would have answered a ping since.
            missed_at = silent_at
        if now > silent_at:
            self._finish(RelayError("silent", f"nothing came for {times.silence_s:g} s"))
        elif now > missed_at:
            self._finish(RelayError("no_media", f"no media came for {within_s:g} s"))
        else:
            ping_at = self._ping(now) if self._can_ping else now + times.first_ping_s
            # On time, for a standby may be waiting to be told.
            due_s = min(silent_at, missed_at, ping_at) - now + _TIMER_S
            self._timer = self._loop.call_later(due_s, self._watch)

    def _ping(self, now: float) -> float:
        """Ping if it is time; return when to look again."""
        is_quiet = now - self._heard_at >= self._ping_interval_s
        interval_s = self._ping_interval_s if is_quiet else self._times.measure_s
        if now - self._pinged_at >= interval_s:
            self._pinged_at = now
            self._core.ping(now)
            self._write()
        return max(self._heard_at, self._pinged_at) + self._ping_interval_s

    def _finish(self, outcome: RelayError) -> None:
        if self.ended.done():
            return
        self.ended.set_result(outcome)
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.close()


async def open_upstream(
    address: UpstreamAddress,
    stream: StreamKey,
    *,
    limits: RtmpLimits,
    times: UpstreamTimes,
    properties: dict[str, Any],
    on_media: Callable[[list[Message]], None],
    on_first_media: Callable[[], None],
    on_round_trip: Callable[[float], None],
) -> Upstream:
    """Connect to ``address`` and play ``stream`` there; ``properties`` go into the connect.

    ``on_media`` takes the messages of the stream by the read, data included; ``on_first_media``
    is called once, behind the first of them that brings audio or video, if only codec headers.

    Returns when the socket is connected: what comes of the play is told by `Upstream.ended` and
    ``on_media``. Raises RelayError when there is no connection within the time.
    """
    loop = asyncio.get_running_loop()
    app, name = to_request(stream)
    core = ClientConnection(
        limits,
        mode=Mode.PLAY,
        tc_url=f"rtmp://{address}/{app}",
        app=app,
        stream_name=name,
        now=monotonic(),
        chunk_size=CHUNK_SIZE,
        random_bytes=os.urandom,
        connect_properties=properties,
    )

    def protocol() -> asyncio.Protocol:
        upstream = Upstream(core, times, on_media, on_first_media, on_round_trip)
        return cast("asyncio.Protocol", upstream)

    try:
        async with asyncio.timeout(times.connect_s):
            if address.unix is not None:
                _, made = await loop.create_unix_connection(protocol, str(address.unix))
            else:
                _, made = await loop.create_connection(protocol, address.host, address.port)
    except TimeoutError as error:
        raise RelayError("connect_timeout", f"{address}: no connection") from error
    except OSError as error:
        raise RelayError("connect_failed", f"{address}: {error.strerror or error}") from error
    return cast("Upstream", made)
