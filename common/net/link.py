"""What a session may do with its connection."""

import asyncio
from typing import Protocol

from common.logs import Log
from common.rtmp.server import ServerConnection
from common.stream.viewer import Outlet


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

    def plain_socket(self) -> Outlet | None:
        """Return the transport's socket, to write to while that holds nothing unsent.

        None: there is none that takes the bytes as they are. It is detached before the transport
        closes the descriptor, which may be another client's at once: a late write raises OSError.
        """
        ...

    def pause_reading(self) -> None:
        """Leave what the client sends in TCP, until as many calls of `resume_reading` as of this.

        Harmless at the end of the connection. Not the transport's own: that keeps no count, and
        whoever resumed first would end the pauses of all.
        """
        ...

    def resume_reading(self) -> None:
        """Take one pause back; must follow each."""
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


def close_on_error(task: "asyncio.Task[None]", link: Link) -> None:
    """Close the connection should ``task`` fail: its client waits for what is not coming.

    Without an error status: encoders take one for a bad stream key, and give up.
    """

    def ended(done: "asyncio.Task[None]") -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            link.log.limited("internal_error").exception("answer failed", error)
            link.close("internal_error")

    task.add_done_callback(ended)
