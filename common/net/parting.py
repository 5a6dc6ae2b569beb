"""The end of a connection that is over for us: what is written already still goes to the peer.

Who plays may be seconds behind when the stream ends, and is to get the rest, and the end notice
after it. Who takes nothing holds blocks, a descriptor and a place among the clients: he is cut off.
"""

import asyncio
from typing import Final

LINGER_S: Final = 1.0
"""The peer's bytes are read and dropped for so long at least: closing a socket with unread data
makes the kernel send RST, and the peer may lose what was written last. And this often it is looked
whether the peer takes what is unsent."""

MAX_LINGER_BYTES: Final = 4 * 1024 * 1024


class Parting:
    """Sees one peer off: closes when it has everything, or takes nothing more.

    ``behind_s``: what may be unsent of a stream that the peer can follow; it gets as long for that.
    """

    __slots__ = ("_deadline", "_dropped", "_loop", "_timer", "_transport", "_unsent")

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, *, behind_s: float
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._deadline = loop.time() + behind_s + LINGER_S
        self._dropped = 0
        self._unsent = 0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, *, peer_has_ended: bool) -> None:
        """Say that nothing follows what is unsent; must be called once."""
        if peer_has_ended:
            self._transport.close()  # at once when all is sent; but it waits for that without end
            if not self._count_unsent():
                return
        elif not self._end_output():
            return
        self._unsent = self._count_unsent()
        self._look_later()

    def drop(self, data: bytes) -> None:
        """Take what the peer still sends, within bounds."""
        self._dropped += len(data)
        if self._dropped > MAX_LINGER_BYTES:
            self._transport.abort()

    def end(self) -> None:
        """Stop looking: the connection is lost."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_output(self) -> bool:
        try:
            if self._transport.can_write_eof():
                self._transport.write_eof()
        except OSError:  # asyncio's own loop: the peer has reset, and connection_lost comes later
            self._transport.abort()
            return False
        return True

    def _look_later(self) -> None:
        self._timer = self._loop.call_later(LINGER_S, self._look)

    def _look(self) -> None:
        before, self._unsent = self._unsent, self._count_unsent()
        if self._unsent < before and self._loop.time() < self._deadline:
            self._look_later()
        else:
            self._transport.abort()

    def _count_unsent(self) -> int:
        try:
            return self._transport.get_write_buffer_size()
        except RuntimeError:  # uvloop: closed, and its connection_lost comes later
            return 0
