"""A server core and a client core back to back in memory, with a clock that stands still."""

from collections.abc import Mapping
from typing import Any

from common.rtmp.client import ClientConnection, Mode
from common.rtmp.events import (
    ClientEvent,
    ConnectRequested,
    PlayRequested,
    PublishRequested,
    ServerEvent,
)
from common.rtmp.limits import RtmpLimits
from common.rtmp.server import ServerConnection


def fixed_bytes(count: int) -> bytes:
    """Stands in for ``os.urandom``."""
    return bytes(index * 7 & 0xFF for index in range(count))


class Pair:
    """Carries bytes both ways until nothing moves; keeps the events of both sides.

    With ``accept`` (the default) the server says yes to every request. ``step`` cuts the bytes
    into pieces of that size.
    """

    def __init__(
        self,
        mode: Mode,
        *,
        limits: RtmpLimits | None = None,
        accept: bool = True,
        step: int = 0,
        chunk_size: int = 65_536,
        connect_properties: Mapping[str, Any] | None = None,
        digest_handshake: bool = False,
    ) -> None:
        limits = limits or RtmpLimits()
        self.now = 100.0
        self.accept = accept
        self.step = step
        self.server = ServerConnection(
            limits, now=self.now, chunk_size=chunk_size, random_bytes=fixed_bytes
        )
        self.client = ClientConnection(
            limits,
            tc_url="rtmp://host/live",
            app="live",
            stream_name="name?token=t",
            mode=mode,
            now=self.now,
            chunk_size=chunk_size,
            random_bytes=fixed_bytes,
            connect_properties=connect_properties,
            digest_handshake=digest_handshake,
        )
        self.server_events: list[ServerEvent] = []
        self.client_events: list[ClientEvent] = []

    def start(self) -> "Pair":
        """Starts the client and carries bytes until nothing moves."""
        self.client.start()
        return self.pump()

    def pump(self) -> "Pair":
        """Carries bytes both ways until nothing moves."""
        while self._carry():
            pass
        return self

    def _carry(self) -> bool:
        up = self.client.data_to_send()
        for piece in self._pieces(up):
            self.server.receive_data(piece, self.now)
        for event in self.server.events():
            self.server_events.append(event)
            if self.accept:
                accept(self.server, event)
        down = self.server.data_to_send()
        for piece in self._pieces(down):
            self.client.receive_data(piece, self.now)
        self.client_events += self.client.events()
        return bool(up or down)

    def _pieces(self, data: bytes) -> list[bytes]:
        step = self.step or max(len(data), 1)
        return [data[at : at + step] for at in range(0, len(data), step)]


def accept(server: ServerConnection, event: ServerEvent) -> None:
    """Says yes to a request event."""
    match event:
        case ConnectRequested():
            server.accept_connect()
        case PublishRequested():
            server.accept_publish(event.stream_id)
        case PlayRequested():
            server.accept_play(event.stream_id)
