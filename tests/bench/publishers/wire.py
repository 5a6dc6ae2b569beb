"""A clip as it goes over the wire: all but the time is put together once, for all publishers."""

from dataclasses import dataclass
from struct import Struct
from typing import Final

from common.media.flv_file import FlvTag
from common.rtmp.chunk_writer import CSID_AUDIO, CSID_DATA, CSID_VIDEO, chunk_message
from common.rtmp.message import MessageType

from ..clip import Clip
from ..opening import PUBLISH_CHUNK_SIZE
from ..stamp import DIGITS_AT, STAMP_DIGITS, now_digits, stamp

_CSIDS: Final = {int(MessageType.AUDIO): CSID_AUDIO, int(MessageType.VIDEO): CSID_VIDEO}
_BASIC_AND_TIME: Final = Struct(">I")  # csid 1 and time 3 [RTMP 1.0 §5.3.1.2.1]
_HEADER_BYTES: Final = 12
_MAX_TIME: Final = 0xFFFFFF
"""Of 3 bytes: 4.6 hours. From there on headers are longer, and a bench is not."""


@dataclass(frozen=True, slots=True)
class WireMessage:
    """One message of a clip. ``tail`` is None where there is no picture to stamp."""

    csid: int
    timestamp: int
    lead: bytes  # from behind the time up to the digits of the stamp
    tail: bytes | None

    def bytes_at(self, timestamp: int) -> bytes:
        """Return the message as it is to be sent just now."""
        time = _BASIC_AND_TIME.pack(self.csid << 24 | min(timestamp, _MAX_TIME - 1))
        if self.tail is None:
            return time + self.lead
        return b"".join((time, self.lead, now_digits(), self.tail))


class WireClip:
    """A clip in chunks, for one message stream id."""

    def __init__(self, clip: Clip, stream_id: int) -> None:
        self.duration_ms = clip.duration_ms
        self.prelude = b"".join(_chunks(tag, tag.payload, stream_id) for tag in clip.prelude)
        self.media = [_message(tag, stream_id) for tag in clip.media]
        self._released_ms = _released_ms(clip)

    def due_ms(self, index: int) -> int:
        """Return when the media message with this number, counted through all loops, is sent.

        Not before the next picture: encoders interleave, so that ffmpeg and OBS hold sound back
        until they know that no picture comes before it. Thirty bursts a second, not 77 messages.
        """
        loop, at = divmod(index, len(self.media))
        return self._released_ms[at] + loop * self.duration_ms

    def message(self, index: int) -> bytes:
        """Return that message as it is to be sent just now."""
        loop, at = divmod(index, len(self.media))
        message = self.media[at]
        return message.bytes_at(message.timestamp + loop * self.duration_ms)


def _released_ms(clip: Clip) -> list[int]:
    """Return for each media message the time of the first picture from it on."""
    first = next(tag for tag in clip.media if tag.type_id == MessageType.VIDEO)
    picture_ms = first.timestamp + clip.duration_ms  # of the next loop
    released = []
    for tag in reversed(clip.media):
        if tag.type_id == MessageType.VIDEO:
            picture_ms = tag.timestamp
        released.append(picture_ms)
    return released[::-1]


def _message(tag: FlvTag, stream_id: int) -> WireMessage:
    csid = _CSIDS[tag.type_id]
    if tag.type_id != MessageType.VIDEO:
        wire = _chunks(tag, tag.payload, stream_id)
        return WireMessage(csid, tag.timestamp, wire[_BASIC_AND_TIME.size :], None)
    wire = _chunks(tag, stamp(tag.payload, bytes(STAMP_DIGITS)), stream_id)
    digits_at = _HEADER_BYTES + DIGITS_AT
    lead = wire[_BASIC_AND_TIME.size : digits_at]
    return WireMessage(csid, tag.timestamp, lead, wire[digits_at + STAMP_DIGITS :])


def _chunks(tag: FlvTag, payload: bytes, stream_id: int) -> bytes:
    return chunk_message(
        tag.type_id,
        0,
        stream_id,
        payload,
        csid=_CSIDS.get(tag.type_id, CSID_DATA),
        chunk_size=PUBLISH_CHUNK_SIZE,
    )
