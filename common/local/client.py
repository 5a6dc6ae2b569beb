"""An RTMP client in this process: the shell round a client core, for players and publishers."""

import asyncio
import os
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, Final, TypeVar, cast

from common.errors import HeadwaterError
from common.rtmp.client import ClientConnection, Mode
from common.rtmp.events import ClientEvent, Closed
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message
from common.rtmp.targets import parse_rtmp_url

_CHUNK_SIZE: Final = 65_536

_Client = TypeVar("_Client", bound="RtmpClient")


class RtmpClient(asyncio.Protocol):
    """A connection to an RTMP server.

    ``events`` are all events but media, in order; ``closed`` is set with the last of them.
    Times are `time.monotonic`, because those of uvloop's loops are in whole milliseconds.
    """

    def __init__(self, core: ClientConnection) -> None:
        self._core = core
        self._transport: asyncio.Transport | None = None
        self.events: list[ClientEvent] = []
        self.closed: asyncio.Future[Closed] = asyncio.get_running_loop().create_future()
        self.bytes_in = 0

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
        now = monotonic()
        self._core.receive_eof(now)
        self._pump(now)

    def write(self, data: bytes) -> None:
        """Write whole chunks as they are, between what the core sends."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Leave in good order; harmless when closed."""
        now = monotonic()
        self._core.finish(now)
        self._pump(now)

    def abort(self) -> None:
        """Leave as a crash does: without a word."""
        if self._transport is not None:
            self._transport.abort()

    def _pump(self, now: float) -> None:
        for event in self._core.events():
            if type(event) is Message:
                self._take(event, now)
            else:
                self.events.append(event)
                self._note(event, now)
                if isinstance(event, Closed):
                    self.closed.set_result(event)
        self._flush()
        if self._core.closed and self._transport is not None:
            self._transport.close()

    def _flush(self) -> None:
        if output := self._core.data_to_send():
            self.write(output)

    def _note(self, event: ClientEvent, now: float) -> None:
        """Take note of an event; by default nothing more is done."""

    def _take(self, message: Message, now: float) -> None:
        """Take a media message; by default it is dropped."""


async def open_client(
    url: str,
    mode: Mode,
    make: Callable[[ClientConnection], _Client],
    properties: Mapping[str, Any] | None = None,
) -> _Client:
    """Connect to ``url`` to play or publish it; what comes of that is told by the client's events.

    ``properties`` are added to the connect object, or take the place of what is in it.
    Raises HeadwaterError when nobody listens there, ConfigError for a URL that is none.
    """
    target = parse_rtmp_url(url)
    core = ClientConnection(
        RtmpLimits(),
        tc_url=target.tc_url,
        app=target.app,
        stream_name=target.stream_name,
        mode=mode,
        now=monotonic(),
        chunk_size=_CHUNK_SIZE,
        random_bytes=os.urandom,
        connect_properties=properties,
    )
    loop = asyncio.get_running_loop()
    try:
        _, client = await loop.create_connection(lambda: make(core), target.host, target.port)
    except OSError as error:
        raise HeadwaterError(f"{url}: {error.strerror or error}") from error
    return client
