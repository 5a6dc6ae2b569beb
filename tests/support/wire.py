"""An RTMP client reduced to bytes: says anything to a server core, reads what it answers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from common.rtmp.chunk_reader import ChunkReader
from common.rtmp.chunk_writer import chunk_message
from common.rtmp.command import decode_command, encode_command
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message, MessageType
from common.rtmp.server import ServerConnection
from tests.support.pair import accept, fixed_bytes

if TYPE_CHECKING:
    from common.rtmp.events import ServerEvent

PACKET = 1536
C0C1 = b"\x03" + bytes(PACKET)
C2 = bytes(PACKET)
SERVER_HANDSHAKE_BYTES = 1 + 2 * PACKET

PLAY_OBJECT = {"app": "live", "tcUrl": "rtmp://host/live", "flashVer": "LNX 9,0,124,2"}


def command(
    name: str,
    transaction_id: float,
    *values: Any,
    csid: int = 3,
    stream_id: int = 0,
    chunk_size: int = 128,
) -> bytes:
    """Returns a command as a client sends it; the first of ``values`` is the command object."""
    payload = encode_command(name, transaction_id, *values)
    return message(
        MessageType.COMMAND_AMF0, payload, csid=csid, stream_id=stream_id, chunk_size=chunk_size
    )


def message(
    type_id: int,
    payload: bytes,
    *,
    csid: int = 4,
    stream_id: int = 0,
    timestamp: int = 0,
    chunk_size: int = 128,
) -> bytes:
    """Returns any message as chunks."""
    return chunk_message(type_id, timestamp, stream_id, payload, csid=csid, chunk_size=chunk_size)


@dataclass(frozen=True, slots=True)
class Reply:
    """A command from the server: what clients look at."""

    name: str
    transaction_id: float
    code: str
    stream_id: int
    values: list[Any]


class WireClient:
    """A server core and the client's side of its wire, with a clock that stands still."""

    def __init__(self, limits: RtmpLimits | None = None, *, accepting: bool = True) -> None:
        self.limits = limits or RtmpLimits()
        self.now = 100.0
        self.accepting = accepting
        self.server = ServerConnection(
            self.limits, now=self.now, chunk_size=65_536, random_bytes=fixed_bytes
        )
        self.events: list[ServerEvent] = []
        self.received = b""
        self._reader = ChunkReader(self.limits)
        self._skip = SERVER_HANDSHAKE_BYTES

    def send(self, data: bytes) -> "WireClient":
        """Sends bytes; keeps the events, answered when ``accepting``, and what comes back."""
        self.server.receive_data(data, self.now)
        return self.collect()

    def collect(self) -> "WireClient":
        """Takes events and bytes from the server until there are no more."""
        while events := self.server.events():
            for event in events:
                self.events.append(event)
                if self.accepting:
                    accept(self.server, event)
        self.received += self.server.data_to_send()
        return self

    def shake_hands(self) -> "WireClient":
        """Gets the handshake done."""
        return self.send(C0C1 + C2)

    def connect(self, **properties: Any) -> "WireClient":
        """Gets as far as an accepted `connect`, and forgets what came so far."""
        self.shake_hands().call("connect", 1, PLAY_OBJECT | properties)
        self.messages()
        self.events.clear()
        return self

    def play(self, name: str = "name") -> "WireClient":
        """Gets as far as an accepted `play`, and forgets what came so far."""
        self.connect().call("createStream", 2, None)
        self.call("play", 0, None, name, stream_id=1)
        self.messages()
        self.events.clear()
        return self

    def publish(self, name: str = "name") -> "WireClient":
        """Gets as far as an accepted `publish`, and forgets what came so far."""
        self.connect().call("createStream", 2, None)
        self.call("publish", 0, None, name, "live", stream_id=1)
        self.messages()
        self.events.clear()
        return self

    def call(
        self, name: str, transaction_id: float, *values: Any, stream_id: int = 0
    ) -> "WireClient":
        """Sends a command."""
        return self.send(command(name, transaction_id, *values, stream_id=stream_id))

    def messages(self) -> list[Message]:
        """Returns the messages that the server sent since the last call."""
        data, self.received = self.received, b""
        skipped, self._skip = data[: self._skip], max(0, self._skip - len(data))
        return self._reader.feed(data[len(skipped) :])

    def replies(self) -> list[Reply]:
        """Returns the commands among them."""
        commands = []
        for one in self.messages():
            if one.type_id == MessageType.COMMAND_AMF0:
                got = decode_command(one.type_id, one.payload, self.limits)
                values = [got.command_object, *got.arguments]
                info = next((v for v in values[1:] if isinstance(v, dict)), {})
                code = info.get("code", "")
                commands.append(Reply(got.name, got.transaction_id, code, one.stream_id, values))
        return commands
