"""The control channel between the supervisor and one worker: messages over a socket pair."""

import asyncio
import socket
from collections import deque

from common.supervisor.messages import Decoder, Message, encode

_READ_BYTES = 65_536


class Channel:
    """One end of a control channel. Its end of file says that the other process has gone."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = Decoder()
        self._pending: deque[Message] = deque()

    @classmethod
    async def open(cls, end: socket.socket) -> "Channel":
        """Take over one end of a socket pair."""
        return cls(*await asyncio.open_unix_connection(sock=end))

    def send(self, message: Message) -> None:
        """Send without waiting; a message to a process that has gone is lost.

        Messages are few and small, so what a stopped process does not read stays small too.
        """
        if not self._writer.is_closing():
            self._writer.write(encode(message))

    async def receive(self) -> Message | None:
        """Return the next message, None when the other end is closed.

        Raises:
            ChannelError: the other end does not speak our language.
        """
        while not self._pending:
            try:
                data = await self._reader.read(_READ_BYTES)
            except ConnectionError:  # it was killed with bytes of ours unread
                return None
            if not data:
                return None
            self._pending.extend(self._decoder.feed(data))
        return self._pending.popleft()

    async def flush(self) -> None:
        """Wait until the kernel has taken what was sent, or the other end is gone."""
        try:
            await self._writer.drain()
        except ConnectionError:
            return

    def close(self) -> None:
        """Close this end."""
        self._writer.close()
