"""One player: a real start, then bytes that are counted and thrown away.

From its first keyframe on a player that does not look at its media has the kernel drop what comes
(``MSG_TRUNC``), so that one process can be thousands of players and still measure the server, not
itself.
"""

import errno
import os
import socket
import sys
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Final

from common.media.packet import Role
from common.rtmp.message import Message

from ..opening import ACK_WINDOW_BYTES, Opening, Script, acknowledge
from .sample import Sample, role_of

_READ_BYTES: Final = 1 << 18
_DISCARD: Final = socket.MSG_TRUNC if sys.platform == "linux" else socket.MsgFlag(0)
_SCRATCH: Final = bytearray(_READ_BYTES)
_BIND_ADDRESS_NO_PORT: Final = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)  # Python < 3.12

Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]


class Phase(Enum):
    """How far a player is."""

    NEW = auto()  # the socket connects
    STARTING = auto()  # handshake and commands
    WAITING = auto()  # for the first keyframe
    PLAYING = auto()
    OVER = auto()


class Player:
    """A player on a non-blocking socket; its owner calls `on_writable` once, then `on_readable`.

    Without a ``script`` it is no RTMP client: it takes bytes from when it is connected. It still
    answers once, as clients of RTMP do, with a byte that nobody reads: the TCP of somebody who
    never says a word acknowledges at other times [delayed ACK, "pingpong" mode of Linux], which
    the sender feels.
    """

    __slots__ = (
        "_ack_at",
        "_opening",
        "_script",
        "_unparsed",
        "_window_from",
        "born_at",
        "bytes",
        "end",
        "first_keyframe_s",
        "longest_gap_s",
        "on_readable",
        "phase",
        "read_at",
        "reads",
        "sample",
        "socket",
    )

    def __init__(
        self,
        address: Address,
        script: Script | None,
        sample: Sample | None,
        *,
        now: float,
        source: str = "",
        receive_buffer: int = 0,
    ) -> None:
        family, kind, protocol, _, target = address
        self.socket = socket.socket(family, kind, protocol)
        self.socket.setblocking(False)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            self.socket.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
            self.socket.bind((source, 0))
        self.sample = sample
        self.phase = Phase.NEW
        self.end = ""  # why it is over
        self.bytes = 0
        self.reads = 0
        self.born_at = now
        self.first_keyframe_s: float | None = None  # from opening the connection
        self.read_at = 0.0
        self.longest_gap_s = 0.0
        self.on_readable: Callable[[float], None] = self._start
        self._script = script
        self._opening = None if script is None else Opening(script)
        self._ack_at = ACK_WINDOW_BYTES
        self._window_from = 0
        self._unparsed: list[tuple[bytes, float]] = []
        code = self.socket.connect_ex(target)
        if code not in (0, errno.EINPROGRESS):
            self._over(os.strerror(code))

    def on_writable(self) -> None:
        """Begin: the socket is connected, or failed to."""
        code = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._over(os.strerror(code))
        elif self._script is None:
            self.phase = Phase.PLAYING
            self.on_readable = self._answer
        else:
            self.phase = Phase.STARTING
            self._send(self._script.hello)

    def begin_window(self, now: float) -> None:
        """Count from here on."""
        self._window_from = self.bytes
        self.reads = 0
        self.longest_gap_s = 0.0
        self.read_at = now
        if self.sample is not None:
            self.sample.latencies_ms.clear()

    def end_window(self, now: float) -> None:
        """Take the time since the last bytes into account as well."""
        self.longest_gap_s = max(self.longest_gap_s, now - self.read_at)

    @property
    def window_bytes(self) -> int:
        """What has come since the window began."""
        return self.bytes - self._window_from

    def parse(self) -> None:
        """Look at what was read, as of when it was read."""
        for data, now in self._unparsed:
            self._feed(data, now)
        self._unparsed.clear()

    def drop(self) -> bool:
        """Throw away what has come, without counting it as played; False at the end."""
        try:
            return self.socket.recv_into(_SCRATCH, _READ_BYTES, _DISCARD) > 0
        except BlockingIOError:
            return True
        except OSError:
            return False

    def close(self) -> None:
        """Leave."""
        self.socket.close()

    def _start(self, now: float) -> None:
        if data := self._receive():
            self._feed(data, now)
        if self.phase is Phase.PLAYING:
            self.read_at = now
            self.on_readable = self._keep if self.sample is not None else self._discard

    def _feed(self, data: bytes, now: float) -> None:
        opening = self._opening
        assert opening is not None
        answers, media = opening.receive(data)
        if answers:
            self._send(answers)
        if opening.error:
            self._over(opening.error)
        elif self.phase is Phase.STARTING and opening.stream_id:
            self.phase = Phase.WAITING
        for message in media:
            self._take(message, now)

    def _take(self, message: Message, now: float) -> None:
        if self.sample is not None:
            self.sample.take(message, now)
        if self.phase is Phase.WAITING and role_of(message) is Role.KEYFRAME:
            self.phase = Phase.PLAYING
            self.first_keyframe_s = now - self.born_at

    def _answer(self, now: float) -> None:
        self.on_readable = self._discard
        self._discard(now)
        if self.phase is Phase.PLAYING:
            self._send(b"\0")

    def _discard(self, now: float) -> None:
        try:
            size = self.socket.recv_into(_SCRATCH, _READ_BYTES, _DISCARD)
        except BlockingIOError:
            return
        except OSError as error:
            self._over(error.strerror or "error")
            return
        if size:
            self._note(size, now)
        else:
            self._over("closed by the server")

    def _keep(self, now: float) -> None:
        """Read, and leave the rest to `parse`: other players of the round are waiting."""
        if data := self._receive():
            self._note(len(data), now)
            self._unparsed.append((data, now))

    def _note(self, size: int, now: float) -> None:
        self.bytes += size
        self.reads += 1
        gap = now - self.read_at
        if gap > self.longest_gap_s:
            self.longest_gap_s = gap
        self.read_at = now
        if self.bytes >= self._ack_at and self._script is not None:
            self._ack_at = self.bytes + ACK_WINDOW_BYTES
            self._send(acknowledge(self.bytes))

    def _receive(self) -> bytes:
        try:
            data = self.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            self._over(error.strerror or "error")
            return b""
        if not data:
            self._over("closed by the server")
        return data

    def _send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)  # less than any socket buffer
        except OSError as error:
            self._over(error.strerror or "error")

    def _over(self, reason: str) -> None:
        self.phase = Phase.OVER
        self.end = self.end or reason
