"""From the messages of a source to the packets of a stream: checked, classified, on its clock.

The same for a publisher at an origin and for a relay at an edge; they differ in their clock.
"""

from collections.abc import Callable
from typing import Final, Protocol

from common.errors import MediaError
from common.logs import get_log
from common.media.flv import classify
from common.media.metadata import DataKind, parse_data
from common.media.packet import Packet, Role
from common.metrics import MESSAGES_REFUSED
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import AUDIO, DATA_AMF0, VIDEO, Message
from common.stream.live import LiveStream

_log = get_log("stream.ingest")

_DROP: Final = Role.DROP


class StreamClock(Protocol):
    """The part of `Timeline` and `RelayTimeline` that every packet needs."""

    def stamp(
        self, type_id: int, wire: int, role: Role, track: int = 0, payload: bytes = b""
    ) -> int | None:
        """Return the packet's time on the stream's clock; None: viewers have it already."""
        ...


class StreamFeed:
    """Feeds one stream from one source."""

    __slots__ = ("_clock", "_is_ours", "_limits", "_stream")

    def __init__(
        self,
        stream: LiveStream,
        clock: StreamClock,
        limits: RtmpLimits,
        is_ours: Callable[[Message], bool] | None = None,
    ) -> None:
        """Prepare to feed ``stream``.

        ``is_ours`` is asked of each data message in its place, and may act on it: it tells whether
        that was said to the feeding side, and is no part of the stream.
        """
        self._stream = stream
        self._clock = clock
        self._limits = limits
        self._is_ours = is_ours

    def take(self, messages: list[Message]) -> None:
        """Forward messages in order. A broken one is dropped and counted; the stream goes on.

        They come by the read, and go through one loop: what is called per message is what a
        worker's publishers cost.
        """
        stamp = self._clock.stamp
        push = self._stream.push
        for message in messages:
            type_id = message.type_id
            payload = message.payload
            try:
                if type_id != VIDEO and type_id != AUDIO:
                    self._take_data(message)
                    continue
                role, codec, track = classify(type_id, payload)
                if role is _DROP:
                    continue
                timestamp = stamp(type_id, message.timestamp, role, track, payload)
                if timestamp is not None:
                    push(Packet(type_id, timestamp, payload, role, codec, track))
            except MediaError as error:
                MESSAGES_REFUSED.inc(error.reason)
                _log.limited(error.reason).warning(
                    "message dropped", stream=self._stream.key, reason=str(error)
                )

    def _take_data(self, message: Message) -> None:
        if self._is_ours is not None and self._is_ours(message):
            return
        data = parse_data(message.payload, self._limits)
        if data is None:
            return
        if data.kind is DataKind.CLEAR:
            self._stream.forget_metadata()
            return
        role = Role.METADATA if data.kind is DataKind.METADATA else Role.DATA
        timestamp = self._clock.stamp(DATA_AMF0, message.timestamp, role, payload=data.payload)
        if timestamp is not None:
            self._stream.push(Packet(DATA_AMF0, timestamp, data.payload, role))
