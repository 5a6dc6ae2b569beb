"""Messages to chunks, always so that a receiver can start at any message.

Every message begins with a full (fmt 0) header and its absolute time. The few bytes that fmt 1..3
would save are not worth their traps: readers disagree on what a delta after fmt 0 means
[RTMP 1.0 §5.3.1.2.4], on large deltas, and none can express a step back. And only so can one run
of bytes be written to every viewer, whenever it came.
"""

from struct import Struct
from typing import Final

from common.errors import UsageError
from common.rtmp.message import TIMESTAMP_MASK

CSID_CONTROL: Final = 2
CSID_CONNECTION: Final = 3  # connect and its answers
CSID_AUDIO: Final = 4
CSID_STREAM: Final = 5  # publish, play, onStatus
CSID_VIDEO: Final = 6
CSID_DATA: Final = 8  # onMetaData and other data messages

DEFAULT_CHUNK_SIZE: Final = 128
"""The chunk size of both directions until Set Chunk Size [RTMP 1.0 §5.4.1]."""

_EXTENDED: Final = 0xFFFFFF
_MAX_LENGTH: Final = 0xFFFFFF

# csid 1 and time 3, length 3 and type 1, stream id 4: little-endian, which is said of one byte only
_USUAL_HEADER = Struct(">IIB3x")
_HEADER = Struct(">II4s")
_HEADER_EXTENDED = Struct(">II4sI")
_CONTINUATION_EXTENDED = Struct(">BI")


def chunk_message(
    type_id: int, timestamp: int, stream_id: int, payload: bytes, *, csid: int, chunk_size: int
) -> bytes:
    """Return one whole message as chunks; ``timestamp`` is cut to 32 bits.

    ``csid`` must be in 2..63: ffmpeg writes (and checks) continuation headers for those only.
    Raises UsageError for another csid, or a payload that no length field can hold.
    """
    length = len(payload)
    if not 2 <= csid <= 63 or length > _MAX_LENGTH:
        raise UsageError(f"cannot send {length} B on chunk stream {csid}")
    timestamp &= TIMESTAMP_MASK
    sized_type = length << 8 | type_id
    if timestamp < _EXTENDED:
        if stream_id < 256:
            header = _USUAL_HEADER.pack(csid << 24 | timestamp, sized_type, stream_id)
        else:
            stream = stream_id.to_bytes(4, "little")
            header = _HEADER.pack(csid << 24 | timestamp, sized_type, stream)
        if length <= chunk_size:
            return header + payload
        continuation = bytes((0xC0 | csid,))
    else:  # every chunk repeats the time: ffmpeg and librtmp read it there without looking
        stream = stream_id.to_bytes(4, "little")
        header = _HEADER_EXTENDED.pack(csid << 24 | _EXTENDED, sized_type, stream, timestamp)
        if length <= chunk_size:
            return header + payload
        continuation = _CONTINUATION_EXTENDED.pack(0xC0 | csid, timestamp)
    pieces = [payload[at : at + chunk_size] for at in range(0, length, chunk_size)]
    return header + continuation.join(pieces)
