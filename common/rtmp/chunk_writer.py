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
_USUAL_HEADER: Final = Struct(">IIB3x")
_HEADER: Final = Struct(">II4s")
_HEADER_EXTENDED: Final = Struct(">II4sI")
_CONTINUATION_EXTENDED: Final = Struct(">BI")


def chunk_message(
    type_id: int, timestamp: int, stream_id: int, payload: bytes, *, csid: int, chunk_size: int
) -> bytes:
    """Return one whole message as chunks; as `put_message` puts it."""
    pieces: list[bytes] = []
    put_message(pieces, type_id, timestamp, stream_id, payload, csid, chunk_size)
    return b"".join(pieces)


def put_message(
    pieces: list[bytes],
    type_id: int,
    timestamp: int,
    stream_id: int,
    payload: bytes,
    csid: int,
    chunk_size: int,
) -> None:
    """Put one whole message on ``pieces``, as chunks; ``timestamp`` is cut to 32 bits.

    Many messages are joined to one block: so their payloads are copied once, and not twice.

    ``csid`` must be in 2..63: ffmpeg writes (and checks) continuation headers for those only.
    Raises UsageError for another csid, or a payload that no length field can hold.
    """
    length = len(payload)
    if not 2 <= csid <= 63 or length > _MAX_LENGTH:
        raise UsageError(f"cannot send {length} B on chunk stream {csid}")
    timestamp &= TIMESTAMP_MASK
    sized_type = length << 8 | type_id
    if timestamp >= _EXTENDED:  # every chunk repeats the time: ffmpeg and librtmp just read it
        stream = stream_id.to_bytes(4, "little")
        header = _HEADER_EXTENDED.pack(csid << 24 | _EXTENDED, sized_type, stream, timestamp)
    elif stream_id < 256:
        header = _USUAL_HEADER.pack(csid << 24 | timestamp, sized_type, stream_id)
    else:
        stream = stream_id.to_bytes(4, "little")
        header = _HEADER.pack(csid << 24 | timestamp, sized_type, stream)
    pieces.append(header)
    if length <= chunk_size:
        pieces.append(payload)
        return
    if timestamp >= _EXTENDED:
        continuation = _CONTINUATION_EXTENDED.pack(0xC0 | csid, timestamp)
    else:
        continuation = bytes((0xC0 | csid,))
    pieces.append(payload[:chunk_size])
    for at in range(chunk_size, length, chunk_size):
        pieces.append(continuation)
        pieces.append(payload[at : at + chunk_size])
