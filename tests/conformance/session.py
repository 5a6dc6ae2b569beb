"""The sessions of real clients, turn by turn, byte by byte, as their captures and sources show.

A turn is what a client sends before it waits for an answer. Stream ids are the ones that the
server is known to give, so that whole sessions can be laid out in advance.
"""

from dataclasses import dataclass
from typing import Any

from common.rtmp import amf0
from common.rtmp.amf_values import EcmaArray
from tests.support.wire import message

_RANDOM = bytes(index * 11 & 0xFF for index in range(1528))
SIMPLE = b"\x03" + bytes(8) + _RANDOM
FLASH_LIKE = b"\x03" + bytes(4) + b"\x09\x00\x7c\x02" + _RANDOM  # ffmpeg's version word
C2 = bytes(1536)

URL = "rtmp://host/live"
AVC_HEADER = b"\x17\x00\x00\x00\x00\x01\x64\x00\x1f\xff"
AVC_KEYFRAME = b"\x17\x01\x00\x00\x50" + bytes(900)
AVC_END = b"\x17\x02\x00\x00\x00"
AAC_HEADER = b"\xaf\x00\x12\x10"
AAC_FRAME = b"\xaf\x01" + bytes(200)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One client's session: its turns, and the events and answers that must come of them."""

    client: str
    turns: list[bytes]
    events: list[str]
    replies: list[str]


def chunk_size(size: int) -> bytes:
    """Set Chunk Size."""
    return message(1, size.to_bytes(4, "big"), csid=2)


def window(size: int = 2_500_000) -> bytes:
    """Window Ack Size."""
    return message(5, size.to_bytes(4, "big"), csid=2)


def buffer_length(stream_id: int, ms: int) -> bytes:
    """SetBufferLength as ffmpeg and librtmp write it: with fmt 1, on a csid that is open."""
    body = b"\x00\x03" + stream_id.to_bytes(4, "big") + ms.to_bytes(4, "big")
    return b"\x42" + bytes(3) + len(body).to_bytes(3, "big") + b"\x04" + body


def metadata(**values: Any) -> bytes:
    """@setDataFrame with onMetaData."""
    return amf0.encode("@setDataFrame", "onMetaData", EcmaArray(values))
