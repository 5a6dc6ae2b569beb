"""One player of a crowd: a real start, then bytes that are counted and thrown away.

A player starts as librtmp does: handshake, connect, createStream, play, each after the answer to
the one before. What it sends is prepared once for all players. From its first keyframe on a
player that is not sampled has the kernel drop what comes (``MSG_TRUNC``), so that one process can
be thousands of players and still measure the server, not itself.
"""

import errno
import os
import socket
import sys
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from common.errors import PeerError
from common.media.packet import Role
from common.rtmp import control
from common.rtmp.chunk_reader import ChunkReader
from common.rtmp.chunk_writer import (
    CSID_CONNECTION,
    CSID_CONTROL,
    CSID_STREAM,
    DEFAULT_CHUNK_SIZE,
    chunk_message,
)
from common.rtmp.command import decode_command, encode_command
from common.rtmp.digest import PACKET_SIZE
from common.rtmp.handshake import ClientHandshake
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message, MessageType
from common.rtmp.targets import parse_rtmp_url
from tests.support.load_sample import ContentMap, Sample, role_of

_LIMITS: Final = RtmpLimits()
_READ_BYTES: Final = 1 << 18
_DISCARD: Final = socket.MSG_TRUNC if sys.platform == "linux" else socket.MsgFlag(0)
_SCRATCH: Final = bytearray(_READ_BYTES)

_MEDIA: Final = frozenset(
    {int(MessageType.AUDIO), int(MessageType.VIDEO), int(MessageType.DATA_AMF0)}
)

_CONNECT_ID: Final = 1.0
_CREATE_STREAM_ID: Final = 2.0
_PLAY_ID: Final = 3.0
_LIVE_START_MS: Final = -1000
_BUFFER_MS: Final = 3000
_ACK_WINDOW_BYTES: Final = 1_250_000
"""Half of what servers ask for, as librtmp does; it also keeps a server from pinging us."""


class Script:
    """What every player of one stream sends, prepared."""

    def __init__(self, url: str) -> None:
        target = parse_rtmp_url(url)
        self.address = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)[0]
        self.hello = ClientHandshake(os.urandom).start()
        properties = {
            "app": target.app,
            "flashVer": "LNX 9,0,124,2",
            "tcUrl": target.tc_url,
            "fpad": False,
            "capabilities": 15.0,
            "audioCodecs": 4071.0,
            "videoCodecs": 252.0,
            "videoFunction": 1.0,
        }
        self.connect = _command("connect", _CONNECT_ID, properties)
        self.create_stream = b"".join(
            (
                _control(MessageType.WINDOW_ACK_SIZE, control.encode_u32(2 * _ACK_WINDOW_BYTES)),
                _command("createStream", _CREATE_STREAM_ID, None),
            )
        )
        self._name = target.stream_name

    def play(self, stream_id: int) -> bytes:
        """Return the request to play and, as all players send it, the buffer length."""
        play = encode_command("play", _PLAY_ID, None, self._name, _LIVE_START_MS)
        buffer_length = control.encode_buffer_length(stream_id, _BUFFER_MS)
        return _chunks(MessageType.COMMAND_AMF0, play, CSID_STREAM, stream_id=stream_id) + _control(
            MessageType.USER_CONTROL, buffer_length
        )


class Phase(Enum):
    """How far a player is."""

    NEW = auto()  # the socket connects
    HANDSHAKE = auto()
    STARTING = auto()  # commands
    WAITING = auto()  # for the first keyframe
    PLAYING = auto()
    OVER = auto()


class Player:
    """A player on a non-blocking socket; its owner calls `on_writable` once, then `on_readable`."""

    __slots__ = (
        "_ack_at",
        "_asked_at",
        "_buffer",
        "_map",
        "_reader",
        "_script",
        "bytes",
        "content_bytes",
        "end",
        "first_frame_s",
        "keyframe",
        "longest_gap_s",
        "on_readable",
        "phase",
        "read_at",
        "sample",
        "socket",
    )

    def __init__(
        self,
        script: Script,
        content: ContentMap,
        sample: Sample | None = None,
        *,
        receive_buffer: int | None = None,
    ) -> None:
        family, kind, protocol, _, address = script.address
        self.socket = socket.socket(family, kind, protocol)
        self.socket.setblocking(False)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sample = sample
        self.phase = Phase.NEW
        self.end = ""  # why it is over
        self.bytes = 0
        self.content_bytes = 0  # of the stream, since its first keyframe
        self.first_frame_s = 0.0
        self.keyframe = 0  # timestamp of the one it started with
        self.read_at = 0.0
        self.longest_gap_s = 0.0
        self.on_readable: Callable[[float], None] = self._start
        self._script = script
        self._map = content
        self._reader = ChunkReader(_LIMITS)
        self._buffer = b""  # of the handshake
        self._asked_at = 0.0
        self._ack_at = _ACK_WINDOW_BYTES
        code = self.socket.connect_ex(address)
        if code not in (0, errno.EINPROGRESS):
            self._over(os.strerror(code))

    def on_writable(self) -> None:
        """Begin the handshake: the socket is connected, or failed to."""
        code = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._over(os.strerror(code))
            return
        self.phase = Phase.HANDSHAKE
        self._send(self._script.hello)

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
        data = self._receive()
        self.bytes += len(data)
        if self.phase is Phase.HANDSHAKE:
            data = self._shake_hands(data)
        if data:
            self._feed(data, now)

    def _shake_hands(self, data: bytes) -> bytes:
        self._buffer += data
        end = 1 + 2 * PACKET_SIZE
        if len(self._buffer) < end:
            return b""
        echo, surplus = self._buffer[1 : 1 + PACKET_SIZE], self._buffer[end:]
        self._buffer = b""
        self.phase = Phase.STARTING
        self._send(echo + self._script.connect)
        return surplus

    def _feed(self, data: bytes, now: float) -> None:
        try:
            messages = self._reader.feed(data)
        except PeerError as error:
            self._over(f"{error.reason}: {error.detail}")
            return
        for message in messages:
            if message.type_id == MessageType.COMMAND_AMF0:
                self._answer(message, now)
            elif message.type_id in _MEDIA:
                self._take(message, now)
        if self.phase is Phase.PLAYING and self.on_readable == self._start:
            self._begin_playing(now)

    def _answer(self, message: Message, now: float) -> None:
        command = decode_command(message.type_id, message.payload, _LIMITS)
        if command.name == "_result" and command.transaction_id == _CONNECT_ID:
            self._send(self._script.create_stream)
        elif command.name == "_result" and command.transaction_id == _CREATE_STREAM_ID:
            stream_id = next(each for each in command.arguments if isinstance(each, float))
            self._asked_at = now
            self.phase = Phase.WAITING
            self._send(self._script.play(int(stream_id)))
        elif command.name in ("_error", "onStatus"):
            info = next((each for each in command.arguments if isinstance(each, dict)), {})
            if info.get("level") == "error":
                self._over(str(info.get("code")))

    def _take(self, message: Message, now: float) -> None:
        if self.sample is not None:
            self.sample.take(message, now)
        if self.phase is Phase.WAITING and role_of(message) is Role.KEYFRAME:
            self.phase = Phase.PLAYING
            self.first_frame_s = now - self._asked_at
            self.keyframe = message.timestamp
        if self.phase is Phase.PLAYING and self.on_readable == self._start:
            self.content_bytes += self._map.wire_size(message)

    def _begin_playing(self, now: float) -> None:
        self.content_bytes += self._reader.unfinished_bytes
        self.read_at = now
        self.on_readable = self._parse if self.sample is not None else self._discard

    def _discard(self, now: float) -> None:
        try:
            size = self.socket.recv_into(_SCRATCH, _READ_BYTES, _DISCARD)
        except BlockingIOError:
            return
        except OSError as error:
            self._over(error.strerror or "error")
            return
        if size == 0:
            self._over("closed by the server")
            return
        self._note(size, now)

    def _parse(self, now: float) -> None:
        if data := self._receive():
            self._note(len(data), now)
            self._feed(data, now)

    def _note(self, size: int, now: float) -> None:
        self.bytes += size
        self.content_bytes += size
        gap = now - self.read_at
        if gap > self.longest_gap_s:
            self.longest_gap_s = gap
        self.read_at = now
        if self.bytes >= self._ack_at:
            self._ack_at = self.bytes + _ACK_WINDOW_BYTES
            self._send(_control(MessageType.ACKNOWLEDGEMENT, control.encode_u32(self.bytes)))

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


def _chunks(type_id: int, payload: bytes, csid: int, *, stream_id: int = 0) -> bytes:
    return chunk_message(type_id, 0, stream_id, payload, csid=csid, chunk_size=DEFAULT_CHUNK_SIZE)


def _control(type_id: int, payload: bytes) -> bytes:
    return _chunks(type_id, payload, CSID_CONTROL)


def _command(name: str, transaction_id: float, *values: object) -> bytes:
    payload = encode_command(name, transaction_id, *values)
    return _chunks(MessageType.COMMAND_AMF0, payload, CSID_CONNECTION)
