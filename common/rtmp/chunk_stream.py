"""A chunk stream as its reader keeps it, and headers inside of messages [RTMP 1.0 §5.3.1]."""

from collections.abc import Iterable
from struct import Struct
from typing import Final

from common.errors import ChunkError

NOT_EXTENDED: Final = -1
NOT_JUDGED: Final = -1

# Two fields share a word where 3-byte fields leave no other alignment.
# Time 3, length 3, type 1, stream id 4 (little-endian, [§5.3.1.2.1]).
FMT0: Final = Struct(">IIHB")
FMT1: Final = Struct(">IHB")  # delta 3, length 3, type 1
U32: Final = Struct(">I")

HEADER_BYTES: Final = (11, 7, 3, 0)  # by fmt, without the basic header


MAX_FIRST_DELTA_MS: Final = 10_000
"""Largest fmt 0 time that a following fmt 3 may repeat as a delta.

By the specification it always does [RTMP 1.0 §5.3.1.2.4], and FMLE relies on it; old librtmp means
"the same time again". A stream that has run for longer than this would visibly jump."""


class ChunkStream:
    """What one chunk stream (csid) inherits from header to header, and its unfinished message."""

    __slots__ = (
        "body",
        "delta",
        "extended",
        "judged_at",
        "length",
        "stream_id",
        "timestamp",
        "type_id",
    )

    def __init__(self) -> None:
        self.timestamp = 0
        self.delta = 0
        self.length = 0
        self.type_id = 0
        self.stream_id = 0
        self.extended = NOT_EXTENDED  # the extended time of the last full header, if it had one
        self.body: bytearray | None = None  # None: no message has begun
        self.judged_at = NOT_JUDGED  # how long the body was when its progress was last judged


def continue_message(stream: ChunkStream, fmt: int, data: bytes, pos: int, end: int) -> int:
    """Pass over the header of a further chunk; return where its payload begins, or -1."""
    if fmt == 3:
        if stream.extended < 0:
            return pos
        return _skip_repeated_time(stream, data, pos, end)
    # A full header here was CVE-2016-10191 in FFmpeg, whose reassembly believed the new length.
    # SRS and FFmpeg accept fmt 1 and 2 that change nothing; their time is ignored.
    if fmt == 0:
        raise ChunkError("header_in_message", "a full header inside an unfinished message")
    if fmt == 1:
        word, low, type_id = FMT1.unpack_from(data, pos)
        if ((word & 0xFF) << 16 | low) != stream.length or type_id != stream.type_id:
            raise ChunkError("header_in_message", "another length or type inside a message")
    if data[pos : pos + 3] == b"\xff\xff\xff":
        pos += 4
    pos += HEADER_BYTES[fmt]
    return pos if pos <= end else -1


def _skip_repeated_time(stream: ChunkStream, data: bytes, pos: int, end: int) -> int:
    """Pass over the extended time in a fmt 3 chunk, if the peer repeats it there.

    The specification and most peers do; OBS before 30.1 and encoders made from old rtmpdump do
    not, and then these bytes are payload. Bytes that cannot be the time are recognised at once:
    waiting for four of them could wait for ever at the end of a message.
    """
    seen = data[pos : pos + 4]
    for time in (stream.extended, stream.timestamp):
        repeated = U32.pack(time)
        if seen == repeated:
            return pos + 4
        if len(seen) < 4 and repeated.startswith(seen):
            return -1
    return pos


def any_stalled(streams: Iterable[ChunkStream], least: int) -> bool:
    """Tell whether a message has got less than ``least`` bytes since the last call, which saw it.

    Each is judged by itself: what else is sent meanwhile is no progress of this one.
    """
    stalled = False
    for stream in streams:
        if stream.body:
            length = len(stream.body)
            stalled |= stream.judged_at != NOT_JUDGED and length - stream.judged_at < least
            stream.judged_at = length
    return stalled
