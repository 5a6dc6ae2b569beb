"""The server's side of a connection: its states, its deadlines, and the one stream it carries.

    HANDSHAKE → UNCONNECTED → CONNECTING → IDLE ⇄ PUBLISH_PENDING → PUBLISHING → IDLE …
                                             ⇅
                                           PLAY_PENDING → PLAYING → IDLE …

- The ``…ING``/``…PENDING`` states wait for an answer of ours, which may take a look-up in Redis.
  Whatever else the client sends meanwhile is served; while `connect` is unanswered, its commands
  are held, because everything after `connect` depends on the answer.
- A connection carries one publish or one play at a time, on whatever message stream id the client
  gives it: encoders that mix ids up still work. It may carry one after another.
- There is no order of commands beyond this: Haivision sends FCPublish after createStream,
  GStreamer wants no answers to some, Flash sends neither. Each is served when it comes.
"""

from enum import Enum, auto
from typing import Any, Final

from common.rtmp import replies
from common.rtmp.chunk_writer import CSID_CONNECTION, CSID_STREAM
from common.rtmp.command import Command
from common.rtmp.connection import Connection, RandomBytes, ping_time
from common.rtmp.events import PlayStopped, PublishStopped, ServerEvent
from common.rtmp.handshake import ServerHandshake
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import UserControl

DEFAULT_WINDOW_BYTES: Final = 2_500_000
"""Window Ack Size and Peer Bandwidth of most servers' greeting."""

PROGRESS_WINDOW_S: Final = 10.0
"""How often the pace of unfinished messages is judged: one that dribbles in, byte by byte, would
hold memory for ever …"""

PROGRESS_BYTES: Final = 1024
"""… and what each must get meanwhile: 1 kbit/s, far below any real uplink."""


class State(Enum):
    """Where a connection stands."""

    HANDSHAKE = auto()
    UNCONNECTED = auto()  # handshake done, no `connect` yet
    CONNECTING = auto()  # `connect` waits for our answer
    IDLE = auto()  # connected, neither publishing nor playing
    PUBLISH_PENDING = auto()  # `publish` waits for our answer
    PUBLISHING = auto()
    PLAY_PENDING = auto()  # `play` waits for our answer
    PLAYING = auto()


PUBLISH_STATES: Final = (State.PUBLISH_PENDING, State.PUBLISHING)
PLAY_STATES: Final = (State.PLAY_PENDING, State.PLAYING)
UNREADY_STATES: Final = (State.HANDSHAKE, State.UNCONNECTED, State.CONNECTING)

_TIMEOUT_REASONS: Final = {
    State.HANDSHAKE: "handshake_timeout",
    State.UNCONNECTED: "connect_timeout",
    State.IDLE: "request_timeout",
    State.PUBLISHING: "publisher_silent",
    State.PLAYING: "ping_timeout",
}


class ServerCore(Connection[ServerEvent]):
    """State and deadlines of a server's connection, and the primitives that commands are made of.

    Methods without an underscore beyond those of `Connection`, `next_deadline` and
    `handle_deadline` are for server_commands.py.
    """

    __slots__ = (
        "_judge_at",
        "_ping_sent_at",
        "_received_at",
        "_since",
        "publish_name",
        "state",
        "stream_id",
        "stream_ids",
        "wants_audio",
        "wants_video",
    )

    def __init__(self, limits: RtmpLimits, *, now: float, random_bytes: RandomBytes) -> None:
        super().__init__(limits, ServerHandshake(random_bytes), now)
        self.state = State.HANDSHAKE
        self._since: float | None = now  # when the state was entered; None: not known yet
        self._received_at = now
        self._ping_sent_at: float | None = None
        self._judge_at: float | None = None  # while a message is unfinished
        self.stream_id = 0  # message stream of the publish or play
        self.publish_name = ""
        self.stream_ids: tuple[int, ...] = ()  # made by createStream, not deleted
        self.wants_audio = True  # receiveAudio, receiveVideo
        self.wants_video = True

    @property
    def limits(self) -> RtmpLimits:
        """The limits of this connection."""
        return self._limits

    def receive_data(self, data: bytes, now: float) -> None:
        """Take bytes from the client. Take `events`, `data_to_send`, `next_deadline` after it."""
        if self._since is None:
            self._since = now
        self._received_at = now
        self._ping_sent_at = None  # any byte is a sign of life: some players answer no pings
        super().receive_data(data, now)
        unfinished = self._reader.unfinished_bytes
        if not unfinished:
            self._judge_at = None
            return
        if self._judge_at is None:
            self._judge_at = now + PROGRESS_WINDOW_S
        # Looked at here and not in the reader: it does not know yet what commands before it in the
        # same read do, and an encoder need not wait for the answer to its `publish`.
        if unfinished > self._limits.max_viewer_partial_bytes:
            self._bound_unfinished()

    # Deadlines

    def next_deadline(self) -> float | None:
        """Return when to call `handle_deadline`; None once the connection is closed.

        Calling it too early does no harm, so a shell may keep its timer when the time only grew.
        It shrinks at changes of state: ask again after events and answers.
        """
        if self.closed:
            return None
        due = self._state_deadline()
        if due is None:  # nothing will be due by itself, but look again: the state may change
            due = self._now + self._limits.request_timeout_s
        return due if self._judge_at is None else min(due, self._judge_at)

    def handle_deadline(self, now: float) -> None:
        """Do what is due: ping an idle player, or close with the reason of the timeout."""
        if self.closed:
            return
        self._know_time(now)
        if self._is_stalled(now):
            self._close("message_stalled", "an unfinished message makes no progress")
            return
        due = self._state_deadline()
        if due is None or now < due:
            return
        if self.state is State.PLAYING and self._ping_sent_at is None:
            self._ping_sent_at = now
            self._send_user_control(UserControl.PING_REQUEST, ping_time(now))
            return
        self._close(_TIMEOUT_REASONS[self.state], f"in state {self.state.name.lower()}")

    def _state_deadline(self) -> float | None:
        limits = self._limits
        since = self._now if self._since is None else self._since
        match self.state:
            case State.HANDSHAKE:
                return since + limits.handshake_timeout_s
            case State.UNCONNECTED:
                return since + limits.connect_timeout_s
            case State.IDLE:
                return since + limits.request_timeout_s
            case State.PUBLISHING:
                return max(since, self._received_at) + limits.publish_silence_s
            case State.PLAYING:
                if self._ping_sent_at is not None:
                    return self._ping_sent_at + limits.ping_timeout_s
                return max(since, self._received_at) + limits.ping_interval_s
            case _:
                return None  # it is our turn: whoever answers has a deadline of its own

    def _is_stalled(self, now: float) -> bool:
        """Judge the pace of unfinished messages when it is time: of those that it saw before."""
        if self._judge_at is None or now < self._judge_at:
            return False
        self._judge_at = now + PROGRESS_WINDOW_S
        return self._reader.is_stalled(PROGRESS_BYTES)

    def _bound_unfinished(self) -> None:
        """Close who holds as much as only a publisher may."""
        if self.state not in PUBLISH_STATES:
            limit = self._limits.max_viewer_partial_bytes
            problem = f"unfinished messages hold more than {limit} B without a publish"
            self._close("partial_messages_too_large", problem)

    def _know_time(self, now: float) -> None:
        self._now = now
        if self._since is None:
            self._since = now

    # Primitives

    def enter(self, state: State, *, stream_id: int = 0) -> None:
        """Go to ``state``, with the message stream that it is about."""
        self.state = state
        self.stream_id = stream_id
        self._since = self._now
        self._takes_media = state is State.PUBLISHING
        self._unwanted_messages = 0

    def emit(self, event: ServerEvent) -> None:
        """Add an event for the shell."""
        self._events.append(event)

    def stop_stream(self) -> None:
        """End the publish or play, pending or accepted, as the client wishes; harmless if none."""
        stream_id = self.stream_id
        if self.state in PUBLISH_STATES:
            self.enter(State.IDLE)
            self.emit(PublishStopped(stream_id=stream_id))
        elif self.state in PLAY_STATES:
            self.enter(State.IDLE)
            self.wants_audio = self.wants_video = True
            self.emit(PlayStopped(stream_id=stream_id))

    def reply(self, payload: bytes) -> None:
        """Send a command on the connection itself."""
        self._send_command(payload, csid=CSID_CONNECTION)

    def reply_result(self, command: Command, *value: Any) -> None:
        """Send `_result`, unless transaction id 0 says that none is wanted [RTMP 1.0 §7.1.1]."""
        if command.transaction_id != 0:
            self.reply(replies.result(command.transaction_id, *value))

    def notify(self, payload: bytes, stream_id: int) -> None:
        """Send an onStatus on its message stream, the only place where GStreamer looks for it."""
        self._send_command(payload, csid=CSID_STREAM, stream_id=stream_id)

    def send_user_control(self, event: UserControl, stream_id: int) -> None:
        """Send a user control event about a message stream."""
        self._send_user_control(event, stream_id)

    def refuse_call(self, command: Command, reason: str, code: str, description: str) -> None:
        """Answer a call with `_error` and close."""
        self.reply(replies.error(command.transaction_id, code, description))
        self._close(reason, description)

    def refuse_stream(self, stream_id: int, reason: str, code: str, description: str) -> None:
        """Send an error onStatus and close, without which rtmpdump and OBS would wait on."""
        self.notify(replies.error_status(code, description), stream_id)
        self._close(reason, f"{code}: {description}")
