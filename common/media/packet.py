"""The unit that travels from publisher to viewer: one classified audio, video or data message."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final


class Role(IntEnum):
    """What a packet is for the caches and for viewers that join or skip.

    Where something is done with each message, modules keep the members that they compare with:
    Python 3.11 takes as long to look one up in its class as for all else in a short method.
    """

    METADATA = 0  # onMetaData, re-serialised
    VIDEO_HEADER = 1  # avcC, hvcC, av1C, ... (legacy or enhanced SequenceStart)
    VIDEO_INFO = 2  # enhanced VideoPacketType.Metadata (colorInfo)
    AUDIO_HEADER = 3  # AudioSpecificConfig, OpusHead, ... (legacy or enhanced SequenceStart)
    AUDIO_INFO = 4  # enhanced MultichannelConfig
    KEYFRAME = 5  # random access: a viewer may start here
    FRAME = 6  # any other coded video
    AUDIO = 7  # coded audio
    DATA = 8  # other data: onTextData, onCuePoint, ...
    END = 9  # sequence end of a track: forwarded, never cached
    DROP = 10  # nothing to forward: empty body, seek marker, clearDataFrame


HEADER_ROLES: Final = frozenset(
    {Role.METADATA, Role.VIDEO_HEADER, Role.VIDEO_INFO, Role.AUDIO_HEADER, Role.AUDIO_INFO}
)
"""Roles that are kept, one per track, for late joiners."""


@dataclass(slots=True, init=False)  # as of `Message`
class Packet:
    """One message of a stream.

    ``type_id`` is 8, 9 or 18; ``timestamp`` is in ms on the stream's own 64-bit clock (never
    wraps; masked to 32 bits on the wire); ``payload`` is the RTMP message body, which is the FLV
    tag body byte for byte; ``codec`` is a FourCC or legacy name ("avc1", "hvc1", "mp4a", "mp3",
    …, "" when unknown or not media); ``track`` is the E-RTMP track id, 0 for everything else.
    """

    type_id: int
    timestamp: int
    payload: bytes
    role: Role
    codec: str
    track: int

    def __init__(
        self,
        type_id: int,
        timestamp: int,
        payload: bytes,
        role: Role,
        codec: str = "",
        track: int = 0,
    ) -> None:
        self.type_id = type_id
        self.timestamp = timestamp
        self.payload = payload
        self.role = role
        self.codec = codec
        self.track = track
