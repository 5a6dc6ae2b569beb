"""One publisher: sends a clip in real time, whatever else its process does."""

import socket
from typing import Final

from common.rtmp.client import Mode

from ..opening import Opening, Script
from .wire import WireClip

_TIMEOUT_S: Final = 10.0
_READ_BYTES: Final = 65_536
_MAX_UNSENT_BYTES: Final = 8 << 20


class PublishError(Exception):
    """The server refused the publish, ended the connection or stopped reading."""


class Publisher:
    """A publisher of one stream; `send_next` is to be called whenever its next message is due."""

    def __init__(self, url: str) -> None:
        script = Script(url, Mode.PUBLISH)
        family, kind, protocol, _, address = script.address
        self.socket = socket.socket(family, kind, protocol)
        self.socket.settimeout(_TIMEOUT_S)
        self.messages = 0
        self.bytes = 0
        self._opening = Opening(script)
        self._unsent = b""
        self._next = 0
        try:
            self.socket.connect(address)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket.sendall(script.hello)
            while not self._opening.started:
                self.receive()
        except OSError as error:
            raise PublishError(f"{url}: {error.strerror or error}") from error
        self.socket.setblocking(False)

    @property
    def stream_id(self) -> int:
        """The message stream that it publishes on."""
        return self._opening.stream_id

    def receive(self) -> None:
        """Take what the server says. Raises `PublishError`."""
        try:
            data = self.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            raise PublishError(error.strerror or "error") from error
        if not data:
            raise PublishError("closed by the server")
        answers, _ = self._opening.receive(data)
        if self._opening.error:
            raise PublishError(self._opening.error)
        if answers:
            self._send(answers)

    def begin(self, clip: WireClip) -> None:
        """Send what comes before all media."""
        self._send(clip.prelude)

    def send_next(self, clip: WireClip) -> int:
        """Send the next message; return when the one after it is due, in ms on the clip's clock."""
        data = clip.message(self._next)
        self._next += 1
        self.messages += 1
        self.bytes += len(data)
        self._send(data)
        return clip.due_ms(self._next)

    def close(self) -> None:
        """Leave."""
        self.socket.close()

    def _send(self, data: bytes) -> None:
        if self._unsent:
            data = self._unsent + data
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise PublishError(error.strerror or "error") from error
        self._unsent = data[sent:]
        if len(self._unsent) > _MAX_UNSENT_BYTES:
            raise PublishError("the server does not read")
