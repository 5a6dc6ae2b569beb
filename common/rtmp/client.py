"""The client's end of an RTMP connection: how a node pulls from another, or pushes to it.

    HANDSHAKE → CONNECTING → CREATING → STARTING → RUNNING

Each step sends one request and waits for its answer; answers are matched by transaction id.
Deadlines are the caller's, who knows why it connects: this core has none.
"""

from collections.abc import Mapping
from enum import Enum, StrEnum, auto
from typing import Any, Final

from common.errors import UsageError
from common.rtmp import control, replies
from common.rtmp.chunk_writer import (
    CSID_AUDIO,
    CSID_CONNECTION,
    CSID_DATA,
    CSID_STREAM,
    CSID_VIDEO,
)
from common.rtmp.command import Command, encode_command
from common.rtmp.connection import Connection, RandomBytes, ping_time
from common.rtmp.events import (
    ClientEvent,
    Connected,
    PlayStarted,
    Pong,
    PublishStarted,
    ReconnectRequested,
    Refused,
    StreamEnded,
)
from common.rtmp.handshake import ClientHandshake
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message, MessageType, UserControl


class Mode(StrEnum):
    """What a client wants of the server."""

    PLAY = "play"
    PUBLISH = "publish"


class _State(Enum):
    NEW = auto()
    HANDSHAKE = auto()
    CONNECTING = auto()
    CREATING = auto()
    STARTING = auto()
    RUNNING = auto()


_CONNECT_ID: Final = 1.0
_RELEASE_STREAM_ID: Final = 2.0
_FC_PUBLISH_ID: Final = 3.0
_CREATE_STREAM_ID: Final = 4.0
_START_ID: Final = 5.0
_FINISH_ID: Final = 6.0

_WINDOW_BYTES: Final = 2_500_000
_LIVE_START_MS: Final = -1000  # "live only" as librtmp writes it, which every server knows
_BUFFER_MS: Final = 3000

_END_CODES: Final = frozenset(
    {"NetStream.Play.UnpublishNotify", "NetStream.Play.Stop", "NetStream.Play.Complete"}
)
_CSID_BY_TYPE: Final[dict[int, int]] = {
    MessageType.AUDIO: CSID_AUDIO,
    MessageType.VIDEO: CSID_VIDEO,
}

_PLAYER: Final[dict[str, Any]] = {
    "flashVer": "LNX 9,0,124,2",  # what ffmpeg's player says
    "fpad": False,
    "capabilities": 15,
    "audioCodecs": 4071,
    "videoCodecs": 252,
    "videoFunction": 1,
    "fourCcList": ["*"],
}
_ENCODER: Final[dict[str, Any]] = {
    "type": "nonprivate",
    "flashVer": "FMLE/3.0 (compatible; Headwater)",
}


class ClientConnection(Connection[ClientEvent]):
    """One connection to an RTMP server, for one stream.

    Call `start` first. ``connect_properties`` are added to the `connect` object; strangers
    ignore what they do not know. Every call may leave events and bytes behind: take both.
    """

    __slots__ = (
        "_app",
        "_connect_properties",
        "_ended",
        "_mode",
        "_own_chunk_size",
        "_ping_sent_at",
        "_state",
        "_stream_id",
        "_stream_name",
        "_tc_url",
    )

    def __init__(
        self,
        limits: RtmpLimits,
        *,
        tc_url: str,
        app: str,
        stream_name: str,
        mode: Mode,
        now: float,
        chunk_size: int,
        random_bytes: RandomBytes,
        connect_properties: Mapping[str, Any] | None = None,
        digest_handshake: bool = False,
    ) -> None:
        super().__init__(limits, ClientHandshake(random_bytes, digest=digest_handshake), now)
        self._tc_url = tc_url
        self._app = app
        self._stream_name = stream_name
        self._mode = mode
        self._own_chunk_size = chunk_size
        self._connect_properties = dict(connect_properties or {})
        self._state = _State.NEW
        self._stream_id = 0
        self._ping_sent_at: float | None = None
        self._ended = False

    # What the caller does

    def start(self) -> None:
        """Begin the handshake. Must be called once, before anything is received."""
        if self._state is not _State.NEW or not isinstance(self._handshake, ClientHandshake):
            raise UsageError("a client connection starts once")
        self._state = _State.HANDSHAKE
        self._put_out(self._handshake.start())

    def send_media(self, type_id: int, timestamp: int, payload: bytes) -> None:
        """Send audio, video or data (a type-18 body); dropped once the connection is closed.

        Raises UsageError before `PublishStarted`.
        """
        if self.closed:
            return
        if self._state is not _State.RUNNING or self._mode is not Mode.PUBLISH:
            raise UsageError("media can be sent after PublishStarted only")
        self._send(
            type_id,
            payload,
            csid=_CSID_BY_TYPE.get(type_id, CSID_DATA),
            stream_id=self._stream_id,
            timestamp=timestamp,
        )

    def ping(self, now: float) -> None:
        """Ask for a sign of life, which comes as `Pong`; a newer ping replaces an older one.

        Dropped once the connection is closed; raises UsageError before the handshake is done.
        """
        if self.closed:
            return
        if self._handshake is not None:
            raise UsageError("a ping needs a connection that is past its handshake")
        self._ping_sent_at = now
        self._send_user_control(UserControl.PING_REQUEST, ping_time(now))

    def finish(self, now: float) -> None:
        """Take leave as encoders and players do, and close; harmless when closed."""
        if self.closed:
            return
        self._now = now
        if self._stream_id:
            if self._mode is Mode.PUBLISH:
                self._call("FCUnpublish", _FINISH_ID, None, self._stream_name)
            self._call("deleteStream", 0, None, self._stream_id)
        self._close("finished")

    # Steps

    def _handshake_done(self) -> None:
        self._state = _State.CONNECTING
        properties = {
            "app": self._app,
            "tcUrl": self._tc_url,
            **(_PLAYER if self._mode is Mode.PLAY else _ENCODER),
            **replies.E_RTMP,
            **self._connect_properties,
        }
        self._call("connect", _CONNECT_ID, properties)

    def _connected(self, command: Command) -> None:
        self._events.append(
            Connected(properties=_object(command.command_object), info=_info(command))
        )
        self._state = _State.CREATING
        if self._mode is Mode.PLAY:
            window = control.encode_u32(_WINDOW_BYTES)
            self._send_control(MessageType.WINDOW_ACK_SIZE, window)
        else:
            self._announce_chunk_size(self._own_chunk_size)
            self._call("releaseStream", _RELEASE_STREAM_ID, None, self._stream_name)
            self._call("FCPublish", _FC_PUBLISH_ID, None, self._stream_name)
        self._call("createStream", _CREATE_STREAM_ID, None)

    def _stream_created(self, command: Command) -> None:
        stream_id = _number(command)
        if stream_id is None:
            self._close("bad_create_stream", "the server gave no stream id")
            return
        self._stream_id = stream_id
        self._state = _State.STARTING
        if self._mode is Mode.PLAY:
            self._start("play", _LIVE_START_MS)
            buffer_length = control.encode_buffer_length(stream_id, _BUFFER_MS)
            self._send_control(MessageType.USER_CONTROL, buffer_length)
            self._takes_media = True  # some servers send headers before Play.Start
        else:
            self._start("publish", "live")

    def _start(self, verb: str, kind: str | int) -> None:
        payload = encode_command(verb, _START_ID, None, self._stream_name, kind)
        self._send_command(payload, csid=CSID_STREAM, stream_id=self._stream_id)

    def _call(self, name: str, transaction_id: float, *values: Any) -> None:
        self._send_command(encode_command(name, transaction_id, *values), csid=CSID_CONNECTION)

    # Inbound

    def _receive_command(self, command: Command, message: Message) -> None:
        match command.name:
            case "_result":
                self._receive_result(command)
            case "_error":
                self._receive_error(command)
            case "onStatus":
                self._receive_status(_info(command))
            case "close":
                self._close("closed_by_server", "the server sent close")
            # onBWDone, onFCPublish, onFCSubscribe, …: nothing hangs on them.

    def _receive_result(self, command: Command) -> None:
        if self._state is _State.CONNECTING and command.transaction_id == _CONNECT_ID:
            self._connected(command)
        elif self._state is _State.CREATING and command.transaction_id == _CREATE_STREAM_ID:
            self._stream_created(command)

    def _receive_error(self, command: Command) -> None:
        # Servers may refuse releaseStream and FCPublish and mean nothing by it.
        if command.transaction_id in (_CONNECT_ID, _CREATE_STREAM_ID, _START_ID):
            self._refused(_info(command))

    def _receive_status(self, info: dict[str, Any]) -> None:
        code = _text(info, "code")
        if _text(info, "level") == "error":
            self._refused(info)
        elif code == "NetConnection.Connect.ReconnectRequest":
            self._events.append(
                ReconnectRequested(
                    tc_url=_text(info, "tcUrl") or None, description=_text(info, "description")
                )
            )
        elif code in _END_CODES:
            self._stream_ended(code)
        elif self._state is _State.STARTING:
            if code == "NetStream.Play.Start" and self._mode is Mode.PLAY:
                self._state = _State.RUNNING
                self._events.append(PlayStarted())
            elif code == "NetStream.Publish.Start" and self._mode is Mode.PUBLISH:
                self._state = _State.RUNNING
                self._events.append(PublishStarted())

    def _refused(self, info: dict[str, Any]) -> None:
        code, description = _text(info, "code"), _text(info, "description")
        self._events.append(Refused(code=code, description=description))
        self._close("refused", f"{code}: {description}")

    def _stream_ended(self, code: str) -> None:
        if not self._ended and self._state in (_State.STARTING, _State.RUNNING):
            self._ended = True
            self._events.append(StreamEnded(code=code))

    def _receive_user_control(self, event: control.UserControlEvent) -> None:
        if event.event == UserControl.STREAM_EOF and event.value == self._stream_id:
            self._stream_ended("StreamEOF")
        elif event.event == UserControl.PING_RESPONSE:
            self._receive_pong(event.value)

    def _receive_pong(self, answered: int) -> None:
        sent_at = self._ping_sent_at
        # An answer to an older ping tells nothing about this one.
        if sent_at is not None and answered == ping_time(sent_at):
            self._ping_sent_at = None
            self._events.append(Pong(rtt_s=self._now - sent_at))


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _info(command: Command) -> dict[str, Any]:
    """Return the info object of an answer or notice; {} when there is none."""
    return next((one for one in command.arguments if isinstance(one, dict)), {})


def _text(info: dict[str, Any], key: str) -> str:
    value = info.get(key)
    return value if isinstance(value, str) else ""


def _number(command: Command) -> int | None:
    """Return the message stream id in createStream's answer: a number of 32 bits, not 0."""
    for value in command.arguments:
        if isinstance(value, float) and 1 <= value <= 0xFFFFFFFF:
            return int(value)
    return None
