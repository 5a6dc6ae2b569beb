"""The client's side of RTMP up to where media flows, prepared once for all clients of a stream.

Clients start as librtmp does: handshake, connect, createStream, then play or publish, each after
the answer to the one before.
"""

import os
import socket
from typing import Final

from common.errors import PeerError
from common.rtmp import control
from common.rtmp.chunk_reader import ChunkReader
from common.rtmp.chunk_writer import (
    CSID_CONNECTION,
    CSID_CONTROL,
    CSID_STREAM,
    DEFAULT_CHUNK_SIZE,
    chunk_message,
)
from common.rtmp.client import Mode
from common.rtmp.command import Command, decode_command, encode_command
from common.rtmp.digest import PACKET_SIZE
from common.rtmp.handshake import ClientHandshake
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message, MessageType
from common.rtmp.targets import parse_rtmp_url

PUBLISH_CHUNK_SIZE: Final = 4096  # what OBS sends with
ACK_WINDOW_BYTES: Final = 1_250_000
"""Half of what servers ask for, as librtmp does; it also keeps a server from pinging us."""

_LIMITS: Final = RtmpLimits()
_MEDIA: Final = frozenset(
    {int(MessageType.AUDIO), int(MessageType.VIDEO), int(MessageType.DATA_AMF0)}
)
_CONNECT_ID: Final = 1.0
_CREATE_STREAM_ID: Final = 4.0
_START_ID: Final = 5.0
_LIVE_START_MS: Final = -1000
_BUFFER_MS: Final = 3000
_HANDSHAKE_BYTES: Final = 1 + 2 * PACKET_SIZE
_START_CODES: Final = ("NetStream.Publish.Start", "NetStream.Play.Start")


class Script:
    """What every player, or every publisher, of one stream sends."""

    def __init__(self, url: str, mode: Mode) -> None:
        target = parse_rtmp_url(url)
        self.address = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)[0]
        self.hello = ClientHandshake(os.urandom).start()
        self._mode = mode
        self._name = target.stream_name
        properties: dict[str, object] = {"app": target.app, "tcUrl": target.tc_url}
        if mode is Mode.PLAY:
            properties |= {
                "flashVer": "LNX 9,0,124,2",
                "fpad": False,
                "capabilities": 15.0,
                "audioCodecs": 4071.0,
                "videoCodecs": 252.0,
                "videoFunction": 1.0,
            }
        else:
            properties |= {"type": "nonprivate", "flashVer": "FMLE/3.0 (compatible; bench)"}
        self.connect = _command("connect", _CONNECT_ID, properties)
        self.create_stream = self._create_stream()

    def start(self, stream_id: int) -> bytes:
        """Return the request to play or publish."""
        if self._mode is Mode.PUBLISH:
            publish = encode_command("publish", _START_ID, None, self._name, "live")
            return chunk_message(
                MessageType.COMMAND_AMF0, 0, stream_id, publish,
                csid=CSID_STREAM, chunk_size=PUBLISH_CHUNK_SIZE,
            )  # fmt: skip
        play = encode_command("play", _START_ID, None, self._name, _LIVE_START_MS)
        buffer_length = control.encode_buffer_length(stream_id, _BUFFER_MS)
        return _chunks(MessageType.COMMAND_AMF0, play, CSID_STREAM, stream_id=stream_id) + _control(
            MessageType.USER_CONTROL, buffer_length
        )

    def _create_stream(self) -> bytes:
        if self._mode is Mode.PLAY:
            window = control.encode_u32(2 * ACK_WINDOW_BYTES)
            before = [_control(MessageType.WINDOW_ACK_SIZE, window)]
        else:
            size = control.encode_u32(PUBLISH_CHUNK_SIZE)
            before = [
                _command("releaseStream", 2.0, None, self._name),
                _command("FCPublish", 3.0, None, self._name),
                # Last of all: what follows on this connection may be in large chunks.
                _control(MessageType.SET_CHUNK_SIZE, size),
            ]
        return b"".join((*before, _command("createStream", _CREATE_STREAM_ID, None)))


class Opening:
    """One client's way to its media: what has come goes in, what is to be sent comes out.

    ``started`` tells that the server has accepted; ``error`` says why it has not.
    """

    __slots__ = ("_buffer", "_script", "error", "reader", "started", "stream_id")

    def __init__(self, script: Script) -> None:
        self.reader = ChunkReader(_LIMITS)
        self.started = False
        self.error = ""
        self.stream_id = 0
        self._script = script
        self._buffer: bytes | None = b""  # of the handshake; None: it is done

    def receive(self, data: bytes) -> tuple[bytes, list[Message]]:
        """Return what to send now, and the media that has come."""
        answers = b""
        if self._buffer is not None:
            self._buffer += data
            if len(self._buffer) < _HANDSHAKE_BYTES:
                return b"", []
            data = self._buffer[_HANDSHAKE_BYTES:]
            answers = self._buffer[1 : 1 + PACKET_SIZE] + self._script.connect
            self._buffer = None
        try:
            messages = self.reader.feed(data)
        except PeerError as error:
            self.error = f"{error.reason}: {error.detail}"
            return b"", []
        media = []
        for message in messages:
            if message.type_id in _MEDIA:
                media.append(message)
            elif message.type_id == MessageType.COMMAND_AMF0:
                answers += self._answer(decode_command(message.type_id, message.payload, _LIMITS))
        return answers, media

    def _answer(self, command: Command) -> bytes:
        if command.name == "_result" and command.transaction_id == _CONNECT_ID:
            return self._script.create_stream
        if command.name == "_result" and command.transaction_id == _CREATE_STREAM_ID:
            numbers = [each for each in command.arguments if isinstance(each, float)]
            self.stream_id = int(numbers[0])
            return self._script.start(self.stream_id)
        # Servers may refuse releaseStream and FCPublish and mean nothing by it.
        if command.name == "onStatus" or (
            command.name == "_error" and command.transaction_id in (_CONNECT_ID, _CREATE_STREAM_ID)
        ):
            info = next((each for each in command.arguments if isinstance(each, dict)), {})
            if info.get("code") in _START_CODES:
                self.started = True
            elif info.get("level") == "error":
                self.error = str(info.get("code"))
        return b""


def acknowledge(received: int) -> bytes:
    """Return an acknowledgement of so many bytes."""
    return _control(MessageType.ACKNOWLEDGEMENT, control.encode_u32(received & 0xFFFFFFFF))


def _chunks(type_id: int, payload: bytes, csid: int, *, stream_id: int = 0) -> bytes:
    return chunk_message(type_id, 0, stream_id, payload, csid=csid, chunk_size=DEFAULT_CHUNK_SIZE)


def _control(type_id: int, payload: bytes) -> bytes:
    return _chunks(type_id, payload, CSID_CONTROL)


def _command(name: str, transaction_id: float, *values: object) -> bytes:
    payload = encode_command(name, transaction_id, *values)
    return _chunks(MessageType.COMMAND_AMF0, payload, CSID_CONNECTION)
