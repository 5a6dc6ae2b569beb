"""A player in this process: takes a stream over RTMP and looks at it without decoding."""

import asyncio
import os
from collections.abc import Callable
from time import monotonic
from typing import Final, cast

from common.errors import HeadwaterError, MediaError
from common.media.flv import classify
from common.media.packet import Role
from common.rtmp.client import ClientConnection, Mode
from common.rtmp.events import ClientEvent, Closed, Connected
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message, MessageType
from common.rtmp.targets import parse_rtmp_url

_CHUNK_SIZE: Final = 4096

OnMessage = Callable[[Message, float], None]
"""Is given each audio, video and data message, and when it came: `time.monotonic`, because the
time of uvloop's loops is in whole milliseconds."""


class RtmpPlayer(asyncio.Protocol):
    """The shell round a client core that plays.

    ``events`` are all events but media, in order; ``closed`` is set with the last of them.
    """

    def __init__(self, core: ClientConnection, on_message: OnMessage) -> None:
        self._core = core
        self._on_message = on_message
        self._transport: asyncio.Transport | None = None
        self.events: list[ClientEvent] = []
        self.closed: asyncio.Future[Closed] = asyncio.get_running_loop().create_future()
        self.bytes_in = 0
        self.joined_at = monotonic()
        """When the server accepted the connection; `play` follows one round trip later."""
        self.first_keyframe_s: float | None = None
        """From there to the first keyframe."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        # A cast, not a check: uvloop's transports are not registered as asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._core.start()
        self._pump(monotonic())

    def data_received(self, data: bytes) -> None:
        """Feed the core with what has come."""
        now = monotonic()
        self.bytes_in += len(data)
        self._core.receive_data(data, now)
        self._pump(now)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end of the socket."""
        self._core.receive_eof(monotonic())
        self._pump(monotonic())

    def send(self, data: bytes) -> None:
        """Write ``data`` as it is, whole chunks, between what the core sends."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Leave in good order."""
        now = monotonic()
        self._core.finish(now)
        self._pump(now)

    def _pump(self, now: float) -> None:
        for event in self._core.events():
            if type(event) is Message:
                self._take(event, now)
            else:
                self._note(event, now)
        if output := self._core.data_to_send():
            self.send(output)
        if self._core.closed and self._transport is not None:
            self._transport.close()

    def _note(self, event: ClientEvent, now: float) -> None:
        self.events.append(event)
        if isinstance(event, Connected):
            self.joined_at = now
        elif isinstance(event, Closed) and not self.closed.done():
            self.closed.set_result(event)

    def _take(self, message: Message, now: float) -> None:
        if self.first_keyframe_s is None and _is_keyframe(message):
            self.first_keyframe_s = now - self.joined_at
        self._on_message(message, now)


async def open_player(url: str, on_message: OnMessage) -> RtmpPlayer:
    """Connect to ``url`` and play it; what comes of that is told by the player.

    Raises HeadwaterError when nobody listens there, ConfigError for a URL that is none.
    """
    loop = asyncio.get_running_loop()
    target = parse_rtmp_url(url)
    core = ClientConnection(
        RtmpLimits(),
        tc_url=target.tc_url,
        app=target.app,
        stream_name=target.stream_name,
        mode=Mode.PLAY,
        now=monotonic(),
        chunk_size=_CHUNK_SIZE,
        random_bytes=os.urandom,
    )
    try:
        _, player = await loop.create_connection(
            lambda: RtmpPlayer(core, on_message), target.host, target.port
        )
    except OSError as error:
        raise HeadwaterError(f"{url}: {error.strerror or error}") from error
    return player


def _is_keyframe(message: Message) -> bool:
    if message.type_id != MessageType.VIDEO:
        return False
    try:
        return classify(message.type_id, message.payload).role is Role.KEYFRAME
    except MediaError:
        return False  # it is the decoder's to complain
