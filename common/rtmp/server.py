"""The server's end of an RTMP connection: what clients ask comes out as events, and is answered."""

from typing import Any, Final

from common.errors import UsageError
from common.rtmp import control, replies
from common.rtmp.chunk_writer import CSID_DATA
from common.rtmp.command import Command
from common.rtmp.connection import RandomBytes
from common.rtmp.events import ConnectRequested, TrackChanged
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message, MessageType, UserControl
from common.rtmp.server_commands import COMMANDS, encoded_length, is_finite_number, unknown
from common.rtmp.server_core import (
    DEFAULT_WINDOW_BYTES,
    PUBLISH_STATES,
    UNREADY_STATES,
    ServerCore,
    State,
)

MAX_HELD_COMMANDS: Final = 32
"""Commands that a client may send ahead while its `connect` is unanswered."""


class ServerConnection(ServerCore):
    """One client's connection.

    The shell answers each request event, at once or later, with the method that the event names.
    Those return False, and do nothing, when the request is no longer there: the client took it
    back, or the connection is closed. After `PublishStopped` or `PlayStopped` a request that came
    before it must not be answered any more. A refusal ends in `Closed`: write what is in
    `data_to_send`, linger, close.

    Every call may leave events and bytes behind: take both after it.
    """

    __slots__ = (
        "_announced_chunk_size",
        "_caps_ex",
        "_connect_transaction_id",
        "_held",
        "_object_encoding",
        "_window_bytes",
    )

    def __init__(
        self,
        limits: RtmpLimits,
        *,
        now: float,
        chunk_size: int,
        random_bytes: RandomBytes,
        window_ack_size: int = DEFAULT_WINDOW_BYTES,
    ) -> None:
        super().__init__(limits, now=now, random_bytes=random_bytes)
        self._announced_chunk_size = chunk_size
        self._window_bytes = window_ack_size
        self._connect_transaction_id = 1.0
        self._object_encoding = 0.0
        self._caps_ex = 0
        self._held: list[tuple[Command, int]] | None = None

    # connect

    def accept_connect(self) -> bool:
        """Greet the client, then serve the commands that it sent ahead.

        Set Chunk Size comes here and not earlier: clients are confused by it before `connect`, and
        ffmpeg adopts it for its own sending, which spares us its 128-byte chunks.
        """
        if not self._is_pending(State.CONNECTING):
            return False
        self._send_control(MessageType.WINDOW_ACK_SIZE, control.encode_u32(self._window_bytes))
        self._send_control(
            MessageType.SET_PEER_BANDWIDTH, control.encode_peer_bandwidth(self._window_bytes)
        )
        self._announce_chunk_size(self._announced_chunk_size)
        self.reply(replies.connect_result(self._connect_transaction_id, self._object_encoding))
        self.enter(State.IDLE)
        held, self._held = self._held, None
        for command, stream_id in held or ():
            if not self.closed:
                self._serve(command, stream_id)
        return True

    def reject_connect(self, code: str, description: str) -> bool:
        """Refuse the client (NetConnection.Connect.Rejected, …InvalidApp) and close."""
        if not self._is_pending(State.CONNECTING):
            return False
        self.reply(replies.error(self._connect_transaction_id, code, description))
        self._close("connect_rejected", f"{code}: {description}")
        return True

    # publish

    def accept_publish(self, stream_id: int) -> bool:
        """Let the client publish: its media comes as `Message` events from now on.

        Must not be called before the publisher is authorised: OBS would show "connected", be
        dropped, and reconnect for ever (SRS #4037).
        """
        if not self._is_pending(State.PUBLISH_PENDING, stream_id):
            return False
        self.enter(State.PUBLISHING, stream_id=stream_id)
        # The last known time may be older than a whole silence: a look-up in Redis lies between.
        self._since = None
        self.send_user_control(UserControl.STREAM_BEGIN, stream_id)
        self.notify(replies.publish_start(self.publish_name), stream_id)
        return True

    def reject_publish(self, stream_id: int, code: str, description: str) -> bool:
        """Refuse the publish (NetStream.Publish.BadName, …Denied) and close."""
        if not self._is_pending(State.PUBLISH_PENDING, stream_id):
            return False
        self.refuse_stream(stream_id, "publish_rejected", code, description)
        return True

    def end_publish(self, stream_id: int, code: str, description: str) -> bool:
        """Throw a publisher out, accepted or not: an error notice, then closed."""
        if self.closed or self.state not in PUBLISH_STATES or stream_id != self.stream_id:
            return False
        self.refuse_stream(stream_id, "publish_ended", code, description)
        return True

    # play

    def accept_play(self, stream_id: int) -> bool:
        """Tell a player that its stream begins; the shell may send media after these bytes.

        May come before there is any media: a waiting player waits best with Play.Start in hand.
        """
        if not self._is_pending(State.PLAY_PENDING, stream_id):
            return False
        self.enter(State.PLAYING, stream_id=stream_id)
        self.send_user_control(UserControl.STREAM_BEGIN, stream_id)
        self.notify(replies.status("NetStream.Play.Reset", "Resetting."), stream_id)
        self.notify(replies.status("NetStream.Play.Start", "Playing."), stream_id)
        self._send(
            MessageType.DATA_AMF0, replies.SAMPLE_ACCESS, csid=CSID_DATA, stream_id=stream_id
        )
        if not (self.wants_audio and self.wants_video):  # switched off before `play` was answered
            self.emit(
                TrackChanged(stream_id=stream_id, audio=self.wants_audio, video=self.wants_video)
            )
        return True

    def reject_play(self, stream_id: int, code: str, description: str) -> bool:
        """Refuse the play (NetStream.Play.StreamNotFound, …Failed) and close."""
        if not self._is_pending(State.PLAY_PENDING, stream_id):
            return False
        self.refuse_stream(stream_id, "play_rejected", code, description)
        return True

    def end_play(self, stream_id: int) -> bool:
        """Tell a player that its stream is over for good; the shell must `close` after it.

        ffmpeg and librtmp end at this notice, so it is not for gaps that the viewer survives.
        """
        if not self._is_pending(State.PLAYING, stream_id):
            return False
        self.enter(State.IDLE)
        self.notify(
            replies.status("NetStream.Play.UnpublishNotify", "The stream is over."), stream_id
        )
        return True

    # at any time

    def request_reconnect(self, tc_url: str | None, description: str) -> bool:
        """Ask the client to reconnect, to ``tc_url`` or to the same address [E-RTMP v2].

        Returns False, having sent nothing, to clients that did not announce that they can.
        """
        if self.closed or self.state in UNREADY_STATES or not self._caps_ex & replies.RECONNECT:
            return False
        self.reply(replies.reconnect_request(tc_url, description))
        return True

    # Inbound

    def _handshake_done(self) -> None:
        self.enter(State.UNCONNECTED)

    def _receive_command(self, command: Command, message: Message) -> None:
        if command.name == "connect":
            self._receive_connect(command)
        elif self.state is State.UNCONNECTED:
            self.refuse_call(
                command, "not_connected", "NetConnection.Call.Failed", "connect must come first"
            )
        elif self.state is State.CONNECTING:
            self._hold(command, message.stream_id)
        else:
            self._serve(command, message.stream_id)

    def _serve(self, command: Command, stream_id: int) -> None:
        COMMANDS.get(command.name, unknown)(self, command, stream_id)

    def _hold(self, command: Command, stream_id: int) -> None:
        if self._held is None:
            self._held = []
        if len(self._held) >= MAX_HELD_COMMANDS:
            self._close("command_flood", "too many commands before connect was answered")
            return
        self._held.append((command, stream_id))

    def _receive_connect(self, command: Command) -> None:
        if self.state is not State.UNCONNECTED:
            self._refuse_connect(command, "second_connect", "connected already")
            return
        properties = _properties(command)
        app = _unquoted(properties.get("app"))
        # gortmplib has met clients that write the key in lower case.
        tc_url = _unquoted(properties.get("tcUrl", properties.get("tcurl")))
        if max(encoded_length(app), encoded_length(tc_url)) > self._limits.max_name_bytes:
            problem = f"app or tcUrl is longer than {self._limits.max_name_bytes} bytes"
            self._refuse_connect(command, "name_too_long", problem)
            return
        flash_ver = properties.get("flashVer")
        caps_ex = properties.get("capsEx")
        encoding = properties.get("objectEncoding")
        self._connect_transaction_id = command.transaction_id
        self._caps_ex = int(caps_ex) if is_finite_number(caps_ex) else 0
        self._object_encoding = float(encoding) if is_finite_number(encoding) else 0.0
        self.enter(State.CONNECTING)
        self.emit(
            ConnectRequested(
                app=app,
                tc_url=tc_url,
                flash_ver=flash_ver if isinstance(flash_ver, str) else "",
                caps_ex=self._caps_ex,
                properties=properties,
            )
        )

    def _refuse_connect(self, command: Command, reason: str, description: str) -> None:
        self.refuse_call(command, reason, "NetConnection.Connect.Rejected", description)

    def _is_pending(self, state: State, stream_id: int = 0) -> bool:
        """Tell whether an answer still has its request; raises UsageError if it never had one."""
        if self.closed:
            return False
        if state is not State.CONNECTING and self.state in UNREADY_STATES:
            raise UsageError(f"an answer in state {self.state.name}: there was no request")
        return self.state is state and stream_id == self.stream_id


def _properties(command: Command) -> dict[str, Any]:
    return command.command_object if isinstance(command.command_object, dict) else {}


def _unquoted(value: object) -> str:
    """Return a text property; Neko puts its URLs in single quotes."""
    return value.strip("'\"") if isinstance(value, str) else ""
