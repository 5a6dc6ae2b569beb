"""The FLV container: tags from a file, tags to a file [FLV E.2-E.4].

A tag's body is an RTMP message body, byte for byte.
"""

from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO, Final, NamedTuple

from common.errors import MediaError, UsageError

_SIGNATURE: Final = b"FLV"
_FILE_HEADER_BYTES: Final = 9
_TAG_HEADER_BYTES: Final = 11
_BACK_POINTER_BYTES: Final = 4
_MAX_HEADER_BYTES: Final = 4096  # the data offset may point further; nobody's does
_MAX_BODY_BYTES: Final = 0xFFFFFF
_AUDIO_FLAG: Final = 0x04
_VIDEO_FLAG: Final = 0x01
_ENCRYPTED: Final = 0x20
_TYPE_MASK: Final = 0x1F
_TIMESTAMP_MASK: Final = 0x7FFFFFFF
"""Tags carry a signed 32-bit time, so files wrap at 31 bits: 24.8 days."""


class FlvTag(NamedTuple):
    """One tag. ``type_id`` is 8, 9 or 18, as in RTMP, or one to be skipped."""

    type_id: int
    timestamp: int
    payload: bytes


def read_tags(source: bytes | BinaryIO) -> Iterator[FlvTag]:
    """Yield the tags of an FLV file, lazily and in order.

    ``source`` must be a buffered file (one whose ``read`` is short only at the end) or the bytes
    of one. Back pointers are not checked: players ignore them, and writers get them wrong.
    Raises MediaError where the file is none, or ends within a tag.
    """
    file = BytesIO(source) if isinstance(source, bytes) else source
    _skip_file_header(file)
    while header := file.read(_TAG_HEADER_BYTES):
        if len(header) < _TAG_HEADER_BYTES:
            raise MediaError("truncated", "FLV tag header")
        if header[0] & _ENCRYPTED:
            raise MediaError("encrypted", "FLV tag with the filter bit set")
        size = int.from_bytes(header[1:4], "big")
        payload = file.read(size)
        if len(payload) < size:
            raise MediaError("truncated", f"FLV tag has {len(payload)} of {size} bytes")
        timestamp = header[7] << 24 | int.from_bytes(header[4:7], "big")
        file.read(_BACK_POINTER_BYTES)
        yield FlvTag(header[0] & _TYPE_MASK, timestamp, payload)


def file_header(*, audio: bool, video: bool) -> bytes:
    """Return the head of a file.

    The flags must equal the real tracks: mpegts.js waits for every track that they announce.
    """
    flags = _AUDIO_FLAG * audio | _VIDEO_FLAG * video
    size = _FILE_HEADER_BYTES.to_bytes(4, "big")
    return _SIGNATURE + bytes((1, flags)) + size + bytes(_BACK_POINTER_BYTES)


def tag(type_id: int, timestamp: int, payload: bytes) -> bytes:
    """Return a message as a tag, with its back pointer.

    ``timestamp`` may be of any size; it is masked. Raises UsageError for a body over 24 bits.
    """
    size = len(payload)
    if size > _MAX_BODY_BYTES:
        raise UsageError(f"a body of {size} bytes does not fit into an FLV tag")
    time = timestamp & _TIMESTAMP_MASK
    head = bytes((type_id,)) + size.to_bytes(3, "big") + (time & 0xFFFFFF).to_bytes(3, "big")
    back_pointer = (_TAG_HEADER_BYTES + size).to_bytes(_BACK_POINTER_BYTES, "big")
    return b"".join((head, bytes((time >> 24, 0, 0, 0)), payload, back_pointer))


def _skip_file_header(file: BinaryIO) -> None:
    header = file.read(_FILE_HEADER_BYTES)
    if len(header) < _FILE_HEADER_BYTES or header[:3] != _SIGNATURE:
        raise MediaError("not_flv", "no FLV file header")
    offset = int.from_bytes(header[5:9], "big")
    if not _FILE_HEADER_BYTES <= offset <= _MAX_HEADER_BYTES:
        raise MediaError("not_flv", f"data offset {offset}")
    file.read(offset - _FILE_HEADER_BYTES + _BACK_POINTER_BYTES)
