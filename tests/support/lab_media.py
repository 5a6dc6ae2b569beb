"""What the failure lab publishes: made-up media in which every message says what it is.

Nothing in the cluster decodes a picture, so a payload is the FLV header of its kind, a tag and
filling. The tag names the publish session, the place of the message in it and when it was sent on
the machine's monotonic clock: a viewer can tell by itself what is missing, repeated, out of order
or from a publisher whose time is over.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from common.media.flv_file import FlvTag
from common.rtmp.message import MessageType

FRAME_MS: Final = 40
AUDIO_MS: Final = 50
GOP_MS: Final = 1000

_TAG: Final = struct.Struct(">4sIIBd")  # mark, session, sequence, variant, when sent
_MARK: Final = b"HWl4"
_VIDEO_AT: Final = 5  # behind frame type, codec, packet type and composition time
_AUDIO_AT: Final = 2

_SET_DATA_FRAME: Final = (
    b"\x02\x00\x0d@setDataFrame\x02\x00\x0aonMetaData\x08\x00\x00\x00\x00\x00\x00\x09"
)
_SIZES: Final = {True: 12_000, False: 1_000}  # of keyframes, of other pictures
_AUDIO_BYTES: Final = 180


@dataclass(frozen=True, slots=True)
class Tag:
    """What a message says of itself."""

    session: int
    sequence: int
    variant: int
    sent_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How an encoder is set: which codec headers it sends, and whether it has sound."""

    variant: int = 0
    audio: bool = True


def headers(shape: Shape) -> list[FlvTag]:
    """Return metadata and codec headers; those of two variants differ."""
    config = bytes(
        (1, 0x64, 0, 0x1F + shape.variant, 0xFF, 0xE1, 0, 4, 0x67, 0x64, 0, shape.variant)
    )
    tags = [
        FlvTag(MessageType.DATA_AMF0, 0, _SET_DATA_FRAME),
        FlvTag(MessageType.VIDEO, 0, b"\x17\x00\x00\x00\x00" + config),
    ]
    if shape.audio:
        tags.append(
            FlvTag(MessageType.AUDIO, 0, b"\xaf\x00" + bytes((0x11, 0x90 + shape.variant % 8)))
        )
    return tags


def schedule(shape: Shape) -> Iterator[tuple[int, int, bool]]:
    """Yield time, type and "is a keyframe" of each message, for ever; a keyframe comes first."""
    for start in range(0, 1 << 40, GOP_MS):
        pictures = [(at, MessageType.VIDEO, at == 0) for at in range(0, GOP_MS, FRAME_MS)]
        sounds = [(at, MessageType.AUDIO, False) for at in range(0, GOP_MS, AUDIO_MS)]
        for at, type_id, key in sorted(
            pictures + (sounds if shape.audio else []), key=lambda each: (each[0], -each[1])
        ):
            yield start + at, type_id, key


def message(type_id: int, key: bool, tag: Tag) -> bytes:
    """Return the payload of a picture or a sound."""
    words = _TAG.pack(_MARK, tag.session, tag.sequence, tag.variant, tag.sent_at)
    if type_id == MessageType.AUDIO:
        return b"\xaf\x01" + words + bytes(_AUDIO_BYTES)
    return (b"\x17" if key else b"\x27") + b"\x01\x00\x00\x00" + words + bytes(_SIZES[key])


def read_tag(type_id: int, payload: bytes) -> Tag | None:
    """Return what a message says of itself; None when it is none of ours, as headers are."""
    at = _AUDIO_AT if type_id == MessageType.AUDIO else _VIDEO_AT
    if payload[at : at + len(_MARK)] != _MARK:
        return None
    _, session, sequence, variant, sent_at = _TAG.unpack_from(payload, at)
    return Tag(session, sequence, variant, sent_at)


def header_variant(payload: bytes) -> int | None:
    """Return which variant a video header belongs to; None when it is no video header."""
    return payload[-1] if payload[1:2] == b"\x00" and len(payload) > _VIDEO_AT else None


def is_keyframe(type_id: int, payload: bytes) -> bool:
    """Say whether a message of ours is a keyframe."""
    return type_id == MessageType.VIDEO and payload[0] == 0x17
