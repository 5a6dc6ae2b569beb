"""From the messages of a source to the packets of a stream: checked, classified, on its clock.

The same for a publisher at an origin and for a relay at an edge; they differ in their clock.
"""

from typing import Protocol

from common.errors import MediaError
from common.logs import get_log
from common.media.flv import classify
from common.media.metadata import DataKind, parse_data
from common.media.packet import Packet, Role
from common.metrics import MESSAGES_REFUSED
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message, MessageType
from common.stream.live import LiveStream

_log = get_log("stream.ingest")


class StreamClock(Protocol):
    """The part of `Timeline` and `RelayTimeline` that every packet needs."""

    def stamp(
        self, type_id: int, wire: int, role: Role, track: int = 0, payload: bytes = b""
    ) -> int | None:
        """Return the packet's time on the stream's clock; None: viewers have it already."""
        ...


class StreamFeed:
    """Feeds one stream from one source."""

    __slots__ = ("_clock", "_limits", "_stream")

    def __init__(self, stream: LiveStream, clock: StreamClock, limits: RtmpLimits) -> None:
        self._stream = stream
        self._clock = clock
        self._limits = limits

    def take(self, message: Message) -> None:
        """Forward one message. A broken one is dropped and counted; the stream goes on."""
        try:
            if message.type_id in (MessageType.VIDEO, MessageType.AUDIO):
                self._take_media(message)
            else:
                self._take_data(message)
        except MediaError as error:
            MESSAGES_REFUSED.inc(error.reason)
            _log.limited(error.reason).warning(
                "message dropped", stream=self._stream.key, reason=str(error)
            )

    def _take_media(self, message: Message) -> None:
        payload = message.payload
        role, codec, track = classify(message.type_id, payload)
        if role is Role.DROP:
            return
        timestamp = self._clock.stamp(message.type_id, message.timestamp, role, track, payload)
        if timestamp is not None:
            self._stream.push(Packet(message.type_id, timestamp, payload, role, codec, track))

    def _take_data(self, message: Message) -> None:
        data = parse_data(message.payload, self._limits)
        if data is None:
            return
        if data.kind is DataKind.CLEAR:
            self._stream.forget_metadata()
            return
        role = Role.METADATA if data.kind is DataKind.METADATA else Role.DATA
        type_id = int(MessageType.DATA_AMF0)
        timestamp = self._clock.stamp(type_id, message.timestamp, role, payload=data.payload)
        if timestamp is not None:
            self._stream.push(Packet(type_id, timestamp, data.payload, role))
