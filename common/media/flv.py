"""What an audio or video body is: the FLV tag headers, legacy and enhanced [FLV E.4.2, E.4.3].

`classify` runs once for each message of each stream. Nearly all bodies say everything in their
first two bytes (AVC, AAC) or five (enhanced), and only a few hundred such heads exist: they are
classified once, when this module is imported, by the very code that handles the rest.
"""

from typing import Final, NamedTuple

from common.errors import MediaError
from common.media import ertmp
from common.media.codec import FOURCC_NAMES, LEGACY_AUDIO_NAMES, LEGACY_VIDEO_NAMES
from common.media.ertmp import AudioType, EnhancedBody, FrameType, Track, VideoType
from common.media.packet import Role
from common.media.timeline import CODED
from common.rtmp.message import VIDEO

SEVERAL_TRACKS: Final = -1
"""Stands for a track id where one message carries several tracks (Multitrack ManyTracks)."""

ENHANCED: Final = 0x80
"""Set in the first byte of an enhanced video body."""

_ENHANCED_AUDIO: Final = 9
_AAC: Final = 10
_AVC_FAMILY: Final = frozenset({7, 12, 13})
"""Legacy video codec ids with a packet type and a composition time after the first byte."""

_AVC_HEADER_BYTES: Final = 5
_CTS_BYTES: Final = 3
_KEY_TYPES: Final = (FrameType.KEY, FrameType.GENERATED_KEY)
_WITH_CTS: Final = frozenset({b"avc1", b"hvc1", b"vvc1"})

_NEEDS_CONFIG: Final = frozenset({b"avc1", b"hvc1", b"vvc1", b"av01", b"mp4a"})
"""An empty sequence header of these would replace a good one (DJI sends them for AAC).

Of the others Opus may have an empty one, and ac-3, ec-3 and .mp3 have none at all.
"""


class Classified(NamedTuple):
    """What a body is. ``track`` is 0 for all that is not E-RTMP Multitrack."""

    role: Role
    codec: str = ""
    track: int = 0


_DROP: Final = Classified(Role.DROP)


def classify(type_id: int, payload: bytes) -> Classified:
    """Return what an audio or video body is.

    KEYFRAME means that a viewer may start here: with several video tracks, random access is
    defined by track 0, and key frames of the others are FRAME. Bodies without anything to play
    are DROP. Raises MediaError, and nothing else, for a body that is broken or of a reserved
    kind: that message is not to be forwarded, the stream goes on.
    """
    # Short bodies may be empty behind their head, which the tables do not see.
    if len(payload) > _SHORT_BYTES:
        heads = _VIDEO_HEADS if type_id == VIDEO else _AUDIO_HEADS
        # No enhanced head begins like a legacy one.
        known = heads.get(payload[:2]) or heads.get(payload[:5])
        if known is not None:
            return known
    return _classify_video(payload) if type_id == VIDEO else _classify_audio(payload)


def is_coded(type_id: int, payload: bytes) -> bool:
    """Return whether an audio or video body is sound or a picture; a broken one is neither."""
    try:
        return classify(type_id, payload).role in CODED
    except MediaError:
        return False


def composition_time_ms(payload: bytes) -> int:
    """Return a coded video body's presentation time minus its decoding time, signed.

    For a body with several tracks, that of the first. 0 where the body has none.
    Raises MediaError for a broken body.
    """
    if not payload:
        return 0
    if not payload[0] & ENHANCED:
        has_time = payload[0] & 0x0F in _AVC_FAMILY and payload[1:2] == b"\x01"
        return _signed24(payload, 2) if has_time else 0
    body = ertmp.parse_video(payload)
    if body.packet_type != VideoType.CODED_FRAMES or not body.tracks:
        return 0
    if body.tracks[0].fourcc in _WITH_CTS:
        return _signed24(payload, body.tracks[0].start)
    return 0


def track_ids(type_id: int, payload: bytes) -> frozenset[int]:
    """Return the tracks that an enhanced body carries. Raises MediaError."""
    parse = ertmp.parse_video if type_id == VIDEO else ertmp.parse_audio
    return frozenset(track.track_id for track in parse(payload).tracks)


def _signed24(payload: bytes, at: int) -> int:
    field = payload[at : at + _CTS_BYTES]
    if len(field) < _CTS_BYTES:
        raise MediaError("truncated", "composition time")
    return int.from_bytes(field, "big", signed=True)


def _classify_video(payload: bytes) -> Classified:
    if not payload:
        return _DROP
    first = payload[0]
    if first & ENHANCED:
        return _enhanced_video(ertmp.parse_video(payload))
    frame_type = first >> 4
    if frame_type == FrameType.COMMAND:  # a seek marker, no picture [FLV E.4.3.1]
        return _DROP
    codec_id = first & 0x0F
    codec = LEGACY_VIDEO_NAMES.get(codec_id, "")
    if codec_id in _AVC_FAMILY:
        return _avc(payload, frame_type, codec)
    if len(payload) == 1:
        return _DROP
    return Classified(Role.KEYFRAME if frame_type in _KEY_TYPES else Role.FRAME, codec)


def _avc(payload: bytes, frame_type: int, codec: str) -> Classified:
    if len(payload) < 2:
        raise MediaError("truncated", "AVC packet type")
    packet_type = payload[1]
    if packet_type == 2:
        # ffmpeg ends with 17 02: marked as a key frame, but there is nothing to start with.
        return Classified(Role.END, codec)
    if packet_type > 2:
        raise MediaError("reserved_packet_type", f"AVC packet type {packet_type}")
    if len(payload) < _AVC_HEADER_BYTES:
        raise MediaError("truncated", "composition time")
    if len(payload) == _AVC_HEADER_BYTES:  # empty; DJI sends such
        return _DROP
    if packet_type == 0:
        return Classified(Role.VIDEO_HEADER, codec)
    return Classified(Role.KEYFRAME if frame_type in _KEY_TYPES else Role.FRAME, codec)


def _enhanced_video(body: EnhancedBody) -> Classified:
    if not body.tracks:
        return _DROP
    packet_type = body.packet_type
    if packet_type == VideoType.SEQUENCE_END:
        role = Role.END
    elif packet_type == VideoType.METADATA:
        role = Role.VIDEO_INFO
    elif packet_type in (VideoType.SEQUENCE_START, VideoType.MPEG2TS_SEQUENCE_START):
        role = Role.DROP if _lacks_config(body.tracks) else Role.VIDEO_HEADER
    elif packet_type in (VideoType.CODED_FRAMES, VideoType.CODED_FRAMES_X):
        role = _coded_video(body)
    else:
        raise MediaError("reserved_packet_type", f"video packet type {packet_type}")
    return _of_tracks(role, body.tracks)


def _coded_video(body: EnhancedBody) -> Role:
    empty = True
    has_first_track = False
    for track in body.tracks:
        head = _CTS_BYTES if track.fourcc in _WITH_CTS else 0
        if body.packet_type == VideoType.CODED_FRAMES_X:
            head = 0
        size = track.end - track.start
        if size < head:
            raise MediaError("truncated", "composition time")
        empty = empty and size == head
        has_first_track = has_first_track or track.track_id == 0
    if empty:
        return Role.DROP
    return Role.KEYFRAME if has_first_track and body.frame_type in _KEY_TYPES else Role.FRAME


def _lacks_config(tracks: tuple[Track, ...]) -> bool:
    return all(track.start == track.end and track.fourcc in _NEEDS_CONFIG for track in tracks)


def _classify_audio(payload: bytes) -> Classified:
    if not payload:  # the historical way to say "silence" [ER2]
        return _DROP
    sound_format = payload[0] >> 4
    if sound_format == _ENHANCED_AUDIO:
        return _enhanced_audio(ertmp.parse_audio(payload))
    codec = LEGACY_AUDIO_NAMES.get(sound_format, "")
    if sound_format != _AAC:
        return _DROP if len(payload) == 1 else Classified(Role.AUDIO, codec)
    if len(payload) < 2:
        raise MediaError("truncated", "AAC packet type")
    if payload[1] > 1:
        raise MediaError("reserved_packet_type", f"AAC packet type {payload[1]}")
    if len(payload) == 2:  # DJI sends an empty header, which would replace a good one
        return _DROP
    return Classified(Role.AUDIO if payload[1] else Role.AUDIO_HEADER, codec)


def _enhanced_audio(body: EnhancedBody) -> Classified:
    packet_type = body.packet_type
    if packet_type == AudioType.SEQUENCE_START:
        role = Role.DROP if _lacks_config(body.tracks) else Role.AUDIO_HEADER
    elif packet_type == AudioType.CODED_FRAMES:
        empty = all(track.start == track.end for track in body.tracks)
        role = Role.DROP if empty else Role.AUDIO
    elif packet_type == AudioType.SEQUENCE_END:
        role = Role.END
    elif packet_type == AudioType.MULTICHANNEL_CONFIG:
        role = Role.AUDIO_INFO
    else:
        raise MediaError("reserved_packet_type", f"audio packet type {packet_type}")
    return _of_tracks(role, body.tracks)


def _of_tracks(role: Role, tracks: tuple[Track, ...]) -> Classified:
    if role is Role.DROP:
        return _DROP
    codec = FOURCC_NAMES.get(tracks[0].fourcc, "")
    return Classified(role, codec, tracks[0].track_id if len(tracks) == 1 else SEVERAL_TRACKS)


_SHORT_BYTES: Final = 8
"""The longest body that can be empty behind a head of the tables: FourCC and composition time."""


def _video_heads() -> dict[bytes, Classified]:
    legacy = [
        bytes((frame_type << 4 | codec_id, packet_type))
        for frame_type in FrameType
        for codec_id in _AVC_FAMILY
        for packet_type in range(3)
    ]
    enhanced = [
        bytes((ENHANCED | frame_type << 4 | packet_type,)) + fourcc
        for frame_type in FrameType
        for packet_type in range(VideoType.MULTITRACK)
        for fourcc in FOURCC_NAMES
    ]
    filler = bytes(_SHORT_BYTES)
    return {head: _classify_video(head + filler) for head in legacy + enhanced}


def _audio_heads() -> dict[bytes, Classified]:
    legacy = [
        bytes((_AAC << 4 | flags, packet_type)) for flags in range(16) for packet_type in range(2)
    ]
    enhanced = [
        bytes((_ENHANCED_AUDIO << 4 | packet_type,)) + fourcc
        for packet_type in (AudioType.SEQUENCE_START, AudioType.CODED_FRAMES)
        for fourcc in FOURCC_NAMES
    ]
    filler = bytes(_SHORT_BYTES)
    return {head: _classify_audio(head + filler) for head in legacy + enhanced}


_VIDEO_HEADS: Final = _video_heads()
_AUDIO_HEADS: Final = _audio_heads()
