"""Aggregates: what comes out is never more than what went in."""

from common.errors import ChunkError
from common.rtmp.aggregate import expand
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message

_LIMITS = RtmpLimits(max_aggregate_messages=32, max_command_bytes=512)


def target(data: bytes) -> None:
    """Expand ``data``."""
    try:
        messages = expand(Message(22, 0xFFFFFF00, 1, data), _LIMITS)
    except ChunkError:
        return
    assert len(messages) <= _LIMITS.max_aggregate_messages
    assert sum(len(message.payload) + 11 for message in messages) <= len(data)
    assert all(0 <= message.timestamp <= 0xFFFFFFFF for message in messages)
