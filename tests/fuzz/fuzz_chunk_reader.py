"""Chunks: any split of the bytes gives the same messages, or is refused for the same reason."""

from common.errors import ChunkError
from common.rtmp.chunk_reader import ChunkReader
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message

_LIMITS = RtmpLimits(
    max_message_bytes=4096,
    max_command_bytes=1024,
    max_partial_bytes=6000,
    max_chunk_streams=8,
)


def _read(data: bytes, step: int) -> list[Message] | str:
    reader = ChunkReader(_LIMITS)
    messages = []
    try:
        for at in range(0, len(data), step):
            messages += reader.feed(data[at : at + step])
    except ChunkError as error:
        return error.reason
    return messages


def target(data: bytes) -> None:
    """Read ``data`` behind its first byte at once and in pieces of that byte's size."""
    step, wire = (data[0] or 1, data[1:]) if data else (1, b"")
    whole = _read(wire, max(len(wire), 1))
    assert _read(wire, step) == whole
    if isinstance(whole, list):
        assert sum(len(message.payload) for message in whole) <= len(wire)
