"""What a session may do with its connection."""

import asyncio
from typing import Protocol

from common.logs import Log
from common.rtmp.server import ServerConnection


class Link(Protocol):
    """A client's connection as those see it who answer the client."""

    core: ServerConnection
    transport: asyncio.Transport
    congested: bool

    @property
    def peer(self) -> str:
        """The client's address."""
        ...

    @property
    def log(self) -> Log:
        """A logger that names the client and its session."""
        ...

    def pump(self) -> None:
        """Act on what the core has to say; must follow each call of a method of the core."""
        ...

    def write(self, data: bytes) -> None:
        """Send ``data``, unless the connection is over."""
        ...

    def close(self, reason: str, detail: str = "") -> None:
        """End the connection; what is written already is still sent."""
        ...

    def abort(self, reason: str) -> None:
        """End the connection at once; nothing more is sent."""
        ...
