"""Aggregate messages (type 22): several FLV tags in one message [RTMP 1.0 §7.1.6]."""

from struct import Struct
from typing import Final

from common.errors import ChunkError
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import TIMESTAMP_MASK, Message, MessageType

_TAG = Struct(">II3x")  # type 1 and size 3; low time 3 and high time 1; stream id 3
_BACK_POINTER_BYTES: Final = 4
_KEPT: Final = frozenset(
    {MessageType.AUDIO, MessageType.VIDEO, MessageType.DATA_AMF0, MessageType.DATA_AMF3}
)


def expand(message: Message, limits: RtmpLimits) -> list[Message]:
    """Return the audio, video and data messages inside an aggregate, in order.

    Times are moved so that the first one is at the aggregate's own time; all carry the
    aggregate's stream id. Other types are skipped.

    Raises ChunkError for an aggregate inside, too many messages, or one that is cut off.
    """
    data = message.payload
    messages: list[Message] = []
    offset: int | None = None
    pos = 0
    tags = 0
    while pos < len(data):
        type_id, size, time, pos = _read_tag(data, pos)
        tags += 1
        if tags > limits.max_aggregate_messages:
            raise ChunkError("bad_aggregate", f"more than {tags - 1} messages")
        if type_id == MessageType.AGGREGATE:
            raise ChunkError("bad_aggregate", "an aggregate in an aggregate")
        if offset is None:
            offset = message.timestamp - time
        if type_id in _KEPT:
            if size > limits.message_cap(type_id):
                raise ChunkError("message_too_large", f"{size} B in a message of type {type_id}")
            moved = (time + offset) & TIMESTAMP_MASK
            messages.append(Message(type_id, moved, message.stream_id, data[pos : pos + size]))
        # The last back pointer may be missing: FFmpeg's reader knows senders that leave it out.
        pos += size + _BACK_POINTER_BYTES
    return messages


def _read_tag(data: bytes, pos: int) -> tuple[int, int, int, int]:
    """Return type, size and time of the tag at ``pos``, and where its body begins."""
    body = pos + _TAG.size
    if body > len(data):
        raise ChunkError("bad_aggregate", "a header that is cut off")
    type_and_size, time = _TAG.unpack_from(data, pos)
    size = type_and_size & 0xFFFFFF
    if body + size > len(data):
        raise ChunkError("bad_aggregate", "a body that is cut off")
    return type_and_size >> 24, size, time >> 8 | (time & 0xFF) << 24, body
