"""What both ends of an RTMP connection do alike: bytes in, messages out, control traffic.

Theory of operation. A core owns no socket and no clock. Its shell does four things, in this
order, whenever something happens: hand over the bytes (`receive_data`), take the `events`, write
`data_to_send`, and ask when to come back. Whatever the peer does wrong becomes a `Closed` event;
UsageError alone escapes, and it means that we called the core wrongly.

    connection.py       this file: handshake, chunks, acks, pings, command rate
    server_core.py      the server's states, its deadlines, the one stream of a connection
    server_commands.py  what each command of a client does
    server.py           the answers that the shell gives: accept, reject, end
    client.py           the other side: pulls and pushes
"""

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from common.errors import PeerError
from common.rtmp import aggregate, control
from common.rtmp.chunk_reader import ChunkReader
from common.rtmp.chunk_writer import CSID_CONTROL, DEFAULT_CHUNK_SIZE, chunk_message
from common.rtmp.command import Command, decode_command
from common.rtmp.events import Closed
from common.rtmp.flow import AckSchedule, TokenBucket
from common.rtmp.handshake import ClientHandshake, ServerHandshake
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import AUDIO, TIMESTAMP_MASK, VIDEO, Message, MessageType, UserControl

RandomBytes = Callable[[int], bytes]
"""``os.urandom``, or a test's replacement."""

MAX_UNWANTED_MESSAGES: Final = 2048
"""Media outside of an accepted stream: a client may run ahead of our answer, or have some under
way when it stops, but not for ever."""

_BROKEN_BYTES: Final = (struct.error, IndexError, ValueError, OverflowError, RecursionError)
"""What slips through a parser on broken bytes: as good as a PeerError (UnicodeError is in it)."""

_AMF0_STRING: Final = 0x02
_AMF3_FORMAT: Final = 0x00
_PRIVATE_DATA: Final = (b"\x02\x00\x08onStatus", b"\x02\x00\x11|RtmpSampleAccess")

Event = TypeVar("Event")


class Connection(ABC, Generic[Event]):
    """The half of a core that is the same for server and client.

    ``bytes_received`` and ``messages_received`` count everything; ``dropped_messages`` counts
    media outside of an accepted stream and data messages that are not fit to be passed on.
    """

    __slots__ = (
        "_acks",
        "_bucket",
        "_chunk_size",
        "_events",
        "_handshake",
        "_limits",
        "_now",
        "_outbound",
        "_reader",
        "_takes_media",
        "_unwanted_messages",
        "bytes_received",
        "closed",
        "dropped_messages",
        "messages_received",
    )

    def __init__(
        self, limits: RtmpLimits, handshake: ServerHandshake | ClientHandshake, now: float
    ) -> None:
        self.bytes_received = 0
        self.messages_received = 0
        self.dropped_messages = 0
        self.closed = False
        self._limits = limits
        self._now = now
        self._handshake: ServerHandshake | ClientHandshake | None = handshake
        self._reader = ChunkReader(limits)
        self._acks = AckSchedule()
        self._bucket = TokenBucket(limits.commands_per_s, limits.command_burst, now)
        self._chunk_size = DEFAULT_CHUNK_SIZE
        self._takes_media = False
        self._unwanted_messages = 0
        self._events: list[Event | Message | Closed] = []
        self._outbound: list[bytes] | None = None  # None: nothing, as nearly always

    # What the shell calls

    def receive_data(self, data: bytes, now: float) -> None:
        """Take bytes from the peer. Take `events` and `data_to_send` afterwards."""
        if self.closed:
            return
        self._now = now
        self.bytes_received += len(data)
        try:
            if self._handshake is not None:
                data = self._shake_hands(self._handshake, data)
            if data:
                self._receive_messages(self._reader.feed(data))
        except PeerError as error:
            self._close(error.reason, error.detail)
        except _BROKEN_BYTES as error:
            self._close("malformed", f"{type(error).__name__}: {error}")
        if self.bytes_received >= self._acks.due_at:  # seldom
            self._acknowledge()

    def receive_eof(self, now: float) -> None:
        """Take note that the peer will send no more, or that the socket broke."""
        self._now = now
        self._close("eof")

    def close(self, reason: str, detail: str = "") -> None:
        """End the connection for a reason of our own; harmless when it is over already."""
        self._close(reason, detail)

    def events(self) -> list[Event | Message | Closed]:
        """Return what happened since the last call, in order."""
        events, self._events = self._events, []
        return events

    def data_to_send(self) -> bytes:
        """Return the bytes to write; empty when there are none."""
        outbound, self._outbound = self._outbound, None
        return b"".join(outbound) if outbound is not None else b""

    # What the two ends implement

    @abstractmethod
    def _handshake_done(self) -> None:
        """Act on the end of the handshake: chunks come from now on."""

    @abstractmethod
    def _receive_command(self, command: Command, message: Message) -> None:
        """Act on a command that came within the command rate."""

    def _receive_user_control(self, event: control.UserControlEvent) -> None:
        """Act on a user control event other than a ping request; by default nothing is done."""

    # Inbound

    def _shake_hands(self, handshake: ServerHandshake | ClientHandshake, data: bytes) -> bytes:
        answer = handshake.receive(data)
        if answer:
            self._put_out(answer)
        if not handshake.complete:
            return b""
        self._handshake = None  # 3 KiB that an idle viewer need not hold
        self._handshake_done()
        return handshake.surplus

    def _receive_messages(self, messages: list[Message]) -> None:
        self.messages_received += len(messages)
        take = self._events.append
        for message in messages:
            # Audio and video first: at a publisher they are nearly all there is.
            is_media = message.type_id == AUDIO or message.type_id == VIDEO
            if is_media and self._takes_media:
                take(message)
            elif self.closed:
                return
            elif is_media:
                self._drop_unwanted()
            else:
                self._receive_other(message)

    def _receive_other(self, message: Message) -> None:
        match message.type_id:
            case MessageType.DATA_AMF0 | MessageType.DATA_AMF3:
                self._receive_data_message(message)
            case MessageType.AGGREGATE:
                if self._takes_media:
                    self._receive_messages(aggregate.expand(message, self._limits))
                else:
                    self._drop_unwanted()
            case MessageType.COMMAND_AMF0 | MessageType.COMMAND_AMF3:
                if self._within_rate():
                    command = decode_command(message.type_id, message.payload, self._limits)
                    self._receive_command(command, message)
            case (
                MessageType.USER_CONTROL
                | MessageType.WINDOW_ACK_SIZE
                | MessageType.SET_PEER_BANDWIDTH
            ):
                if self._within_rate():
                    self._receive_control(message)
            # Acknowledgements ask for nothing: our sending is paced by the socket, since many
            # players never send any. Shared objects and unknown types are skipped.

    def _receive_data_message(self, message: Message) -> None:
        if not self._takes_media:
            self._drop_unwanted()
            return
        body = data_body(message)
        if body is None:
            self.dropped_messages += 1
        else:
            message.type_id, message.payload = MessageType.DATA_AMF0, body
            self._events.append(message)

    def _drop_unwanted(self) -> None:
        self.dropped_messages += 1
        self._unwanted_messages += 1
        if self._unwanted_messages > MAX_UNWANTED_MESSAGES:
            self._close("unwanted_media", "media without an accepted stream")

    def _receive_control(self, message: Message) -> None:
        """Carry out types 4, 5 and 6; cut bodies are ignored, as some senders cut them."""
        if message.type_id == MessageType.USER_CONTROL:
            event = control.decode_user_control(message.payload)
            if event is None:
                return
            if event.event == UserControl.PING_REQUEST:
                self._send_user_control(UserControl.PING_RESPONSE, event.value)
            else:
                self._receive_user_control(event)
        elif message.type_id == MessageType.WINDOW_ACK_SIZE:
            window = control.decode_u32(message.payload)
            if window is not None:
                self._acks.honour_window(window)
        else:
            window = control.decode_peer_bandwidth(message.payload)
            if window is not None:  # the answer that RTMP 1.0 §5.4.5 asks for
                self._send_control(MessageType.WINDOW_ACK_SIZE, control.encode_u32(window))

    def _within_rate(self) -> bool:
        if self._bucket.take(self._now):
            return True
        self._close("command_flood", f"over {self._limits.commands_per_s:g} commands per second")
        return False

    # Outbound

    def _acknowledge(self) -> None:
        if self.closed or self._handshake is not None:
            return
        due = self._acks.take_due(self.bytes_received)
        if due is not None:
            self._send_control(MessageType.ACKNOWLEDGEMENT, control.encode_u32(due))

    def _send_control(self, type_id: int, payload: bytes) -> None:
        self._send(type_id, payload, csid=CSID_CONTROL)

    def _send_user_control(self, event: int, value: int) -> None:
        self._send_control(MessageType.USER_CONTROL, control.encode_user_control(event, value))

    def _send_command(self, payload: bytes, *, csid: int, stream_id: int = 0) -> None:
        self._send(MessageType.COMMAND_AMF0, payload, csid=csid, stream_id=stream_id)

    def _send(
        self, type_id: int, payload: bytes, *, csid: int, stream_id: int = 0, timestamp: int = 0
    ) -> None:
        self._put_out(
            chunk_message(
                type_id, timestamp, stream_id, payload, csid=csid, chunk_size=self._chunk_size
            )
        )

    def _put_out(self, data: bytes) -> None:
        if self._outbound is None:
            self._outbound = [data]
        else:
            self._outbound.append(data)

    def _announce_chunk_size(self, chunk_size: int) -> None:
        self._send_control(MessageType.SET_CHUNK_SIZE, control.encode_u32(chunk_size))
        self._chunk_size = chunk_size

    def _close(self, reason: str, detail: str = "") -> None:
        if self.closed:
            return
        self.closed = True
        self._takes_media = False
        self._handshake = None
        self._events.append(Closed(reason=reason, detail=detail))


def ping_time(now: float) -> int:
    """Return the time that a ping carries, in ms; its answer brings it back."""
    return int(now * 1000) & TIMESTAMP_MASK


def data_body(message: Message) -> bytes | None:
    """Return the type-18 body of a data message, or None if it must not be passed on.

    A player's ffmpeg aborts on a body that does not begin with an AMF0 string; ffmpeg as
    publisher sends such bodies for timecode tracks. Type 15 has a format byte in front, which
    some senders leave out. What one end tells the other in private (onStatus, sample access) is
    no part of the stream: ffmpeg shows a phantom track for it (SRS #3767).
    """
    body = message.payload
    if message.type_id == MessageType.DATA_AMF3 and body[:1] == bytes((_AMF3_FORMAT,)):
        body = body[1:]
    if not body or body[0] != _AMF0_STRING or body.startswith(_PRIVATE_DATA):
        return None
    return body
