"""Enhanced RTMP bodies: what stands before the codec's own bytes [ER2].

An enhanced video body has bit 7 of its first byte set, an enhanced audio body the sound format 9.
ModEx and Multitrack are wrappers; `parse_video` and `parse_audio` see through them and say which
tracks a message carries and where the bytes of each lie. Nothing is copied, nothing modified.
"""

from enum import IntEnum
from typing import Final, NamedTuple

from common.errors import MediaError

MAX_TRACKS: Final = 8
"""Tracks of a kind that a stream may have; trackId would allow 256 of them."""

_MAX_MODEX: Final = 16
"""ModEx elements in a message; each may be 3 bytes, so a chain could have millions."""

_FOURCC_BYTES: Final = 4
_MODEX: Final = 7


class VideoType(IntEnum):
    """Video packet types."""

    SEQUENCE_START = 0
    CODED_FRAMES = 1
    SEQUENCE_END = 2
    CODED_FRAMES_X = 3
    METADATA = 4
    MPEG2TS_SEQUENCE_START = 5
    MULTITRACK = 6
    MODEX = 7


class AudioType(IntEnum):
    """Audio packet types. Multitrack has another number than in video."""

    SEQUENCE_START = 0
    CODED_FRAMES = 1
    SEQUENCE_END = 2
    MULTICHANNEL_CONFIG = 4
    MULTITRACK = 5
    MODEX = 7


class FrameType(IntEnum):
    """Video frame types, the same as in the legacy header."""

    KEY = 1
    INTER = 2
    DISPOSABLE = 3
    GENERATED_KEY = 4
    COMMAND = 5


class _Multitrack(IntEnum):
    ONE_TRACK = 0
    MANY_TRACKS = 1
    MANY_TRACKS_MANY_CODECS = 2


class Track(NamedTuple):
    """One track's part of a body: ``body[start:end]`` are the codec's bytes."""

    track_id: int
    fourcc: bytes
    start: int
    end: int


class EnhancedBody(NamedTuple):
    """An enhanced body, unwrapped. ``tracks`` is empty for a command frame only."""

    packet_type: int
    frame_type: int  # 0 in audio
    tracks: tuple[Track, ...]


def parse_video(body: bytes) -> EnhancedBody:
    """Return what an enhanced video body holds. Raises MediaError."""
    try:
        frame_type = body[0] >> 4 & 0x07
        packet_type, at = _skip_modex(body, body[0] & 0x0F)
        if frame_type == FrameType.COMMAND and not _is_metadata(body, packet_type, at):
            return EnhancedBody(packet_type, frame_type, ())
        packet_type, tracks = _tracks(body, packet_type, at, VideoType.MULTITRACK)
    except IndexError:
        raise MediaError("truncated", "enhanced video header") from None
    return EnhancedBody(packet_type, frame_type, tracks)


def parse_audio(body: bytes) -> EnhancedBody:
    """Return what an enhanced audio body holds. Raises MediaError."""
    try:
        packet_type, at = _skip_modex(body, body[0] & 0x0F)
        packet_type, tracks = _tracks(body, packet_type, at, AudioType.MULTITRACK)
    except IndexError:
        raise MediaError("truncated", "enhanced audio header") from None
    return EnhancedBody(packet_type, 0, tracks)


def _is_metadata(body: bytes, packet_type: int, at: int) -> bool:
    """Tell Metadata from a command frame: FFmpeg marks its Metadata with frame type 5, too."""
    if packet_type == VideoType.MULTITRACK:
        # A command is 0 or 1 and ends the body; a multitrack byte names its packet type.
        packet_type = body[at] & 0x0F
    return packet_type == VideoType.METADATA


def _skip_modex(body: bytes, packet_type: int) -> tuple[int, int]:
    """Return the packet type behind all ModEx elements, and where the body goes on."""
    at = 1
    for _ in range(_MAX_MODEX):
        if packet_type != _MODEX:
            return packet_type, at
        size = body[at] + 1
        at += 1
        if size == 256:  # FF escapes to 16 bits
            size = (body[at] << 8 | body[at + 1]) + 1
            at += 2
        at += size
        packet_type = body[at] & 0x0F
        at += 1
    raise MediaError("modex_chain", f"more than {_MAX_MODEX} elements")


def _tracks(body: bytes, packet_type: int, at: int, wrapper: int) -> tuple[int, tuple[Track, ...]]:
    if packet_type != wrapper:
        return packet_type, (Track(0, _fourcc(body, at), at + _FOURCC_BYTES, len(body)),)
    kind = body[at] >> 4
    packet_type = body[at] & 0x0F
    at += 1
    if packet_type in (wrapper, _MODEX):
        raise MediaError("nested_multitrack", f"packet type {packet_type} inside Multitrack")
    if kind == _Multitrack.ONE_TRACK:
        fourcc = _fourcc(body, at)
        at += _FOURCC_BYTES
        return packet_type, (Track(body[at], fourcc, at + 1, len(body)),)
    if kind == _Multitrack.MANY_TRACKS:
        return packet_type, _many_tracks(body, at + _FOURCC_BYTES, _fourcc(body, at))
    if kind == _Multitrack.MANY_TRACKS_MANY_CODECS:
        return packet_type, _many_tracks(body, at, None)
    raise MediaError("multitrack_type", f"unknown multitrack type {kind}")


def _many_tracks(body: bytes, at: int, fourcc: bytes | None) -> tuple[Track, ...]:
    """Walk [FourCC, where tracks differ] trackId(1) size(3) data."""
    tracks: list[Track] = []
    end = len(body)
    while at < end:
        if len(tracks) == MAX_TRACKS:
            raise MediaError("too_many_tracks", f"more than {MAX_TRACKS} in a message")
        codec = fourcc
        if codec is None:
            codec = _fourcc(body, at)
            at += _FOURCC_BYTES
        size = body[at + 1] << 16 | body[at + 2] << 8 | body[at + 3]
        start = at + 4
        if start + size > end:
            raise MediaError("track_size", f"track {body[at]} wants {size} of {end - start} bytes")
        tracks.append(Track(body[at], codec, start, start + size))
        at = start + size
    if not tracks:
        raise MediaError("truncated", "multitrack body without a track")
    return tuple(tracks)


def _fourcc(body: bytes, at: int) -> bytes:
    fourcc = body[at : at + _FOURCC_BYTES]
    if len(fourcc) < _FOURCC_BYTES:
        raise MediaError("truncated", "FourCC")
    return fourcc
