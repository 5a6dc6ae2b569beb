"""What a viewer that joins is given: codec headers, metadata and the current GOP.

Both caches are bounded, whatever a publisher sends.
"""

from typing import Final

from common.errors import MediaError
from common.media.ertmp import MAX_TRACKS
from common.media.flv import SEVERAL_TRACKS, track_ids
from common.media.packet import Packet, Role

_KEYFRAME: Final = Role.KEYFRAME
_FRAME: Final = Role.FRAME
_AUDIO: Final = Role.AUDIO
_DATA: Final = Role.DATA

_JOINER_ORDER: Final = (
    Role.METADATA,
    Role.VIDEO_INFO,
    Role.VIDEO_HEADER,
    Role.AUDIO_HEADER,
    Role.AUDIO_INFO,
)

MAX_HEADER_BYTES: Final = 256 * 1024
"""Largest header that is kept; an avcC has some hundred bytes, E-RTMP metadata a few thousand."""

NO_VIDEO_AFTER: Final = 45
"""Audio packets without any video yet after which a stream counts as audio only: about a second.

Of one track, here and below: a stream with six tracks brings six times as many in that time. And
counted, not measured: a pause of everything is no audio without video.

A video that starts later (Dahua: 2 s) starts with a keyframe, so a viewer that has joined
meanwhile misses nothing. SRS waits for 115.
"""

VIDEO_LOST_AFTER: Final = 450
"""Audio packets since the last video frame after which the video counts as switched off: 10 s.

Longer than the pauses of a slide show, short enough for viewers who would wait for a keyframe.
"""


class HeaderCache:
    """The newest header of each kind and track, for viewers that join.

    A message that carries the headers of several tracks (E-RTMP ManyTracks) is one entry: it is
    sent as it came. An entry is superseded by a newer one that covers all of its tracks, and
    entries of a kind are given out in the order in which they last changed, so that a joiner
    ends up with what those who were there have.
    """

    __slots__ = ("_kinds",)

    def __init__(self) -> None:
        self._kinds: dict[Role, dict[frozenset[int], Packet]] = {role: {} for role in _JOINER_ORDER}

    def put(self, packet: Packet) -> bool:
        """Keep a packet of one of `HEADER_ROLES`; return whether it says anything new.

        An identical repeat is not a change (DJI Osmo Action 4 and others resend headers with
        each keyframe). After a change of a VIDEO_HEADER the caller must clear the GOP cache: its
        frames need the old one. Raises MediaError for a header over a limit, which should not be
        forwarded either.
        """
        payload = packet.payload
        if len(payload) > MAX_HEADER_BYTES:
            raise MediaError("header_too_large", f"{len(payload)} bytes")
        if packet.track == SEVERAL_TRACKS:
            tracks = track_ids(packet.type_id, payload)
        else:
            tracks = frozenset((packet.track,))
        kind = self._kinds[packet.role]
        known = kind.get(tracks)
        if known is not None and known.payload == payload:
            return False
        superseded = [each for each in kind if each <= tracks]
        if len(kind) - len(superseded) >= MAX_TRACKS:
            raise MediaError("too_many_tracks", f"more than {MAX_TRACKS} of {packet.role.name}")
        for each in superseded:
            del kind[each]
        kind[tracks] = packet
        return True

    def forget_metadata(self) -> None:
        """Drop onMetaData, as @clearDataFrame asks for."""
        self._kinds[Role.METADATA].clear()

    def for_joiner(self) -> list[Packet]:
        """Return what a viewer needs before its first frame, in the order to send it."""
        return [packet for kind in self._kinds.values() for packet in kind.values()]

    @property
    def has_video(self) -> bool:
        """Whether a video header is known. Old codecs have none: see `GopCache.has_video`."""
        return bool(self._kinds[Role.VIDEO_HEADER])

    @property
    def codecs(self) -> tuple[str, ...]:
        """The codecs of the known headers, video first, each once."""
        headers = [
            *self._kinds[Role.VIDEO_HEADER].values(),
            *self._kinds[Role.AUDIO_HEADER].values(),
        ]
        return tuple(dict.fromkeys(packet.codec for packet in headers if packet.codec))

    def clear(self) -> None:
        """Forget everything: a header of a track that does not come again misleads players."""
        for kind in self._kinds.values():
            kind.clear()


class GopCache:
    """The packets since the last keyframe, or nothing at all.

    When the GOP grows over a limit the cache is emptied and stays so until the next keyframe: a
    part of a GOP would start nobody.
    """

    __slots__ = (
        "_audio_run",
        "_audio_track",
        "_bytes",
        "_first_timestamp",
        "_max_bytes",
        "_max_ms",
        "_max_packets",
        "generation",
        "has_video",
        "no_video_after",
        "packets",
        "video_lost_after",
    )

    def __init__(self, max_bytes: int, max_seconds: float, max_packets: int) -> None:
        self._max_bytes = max_bytes
        self._max_ms = max_seconds * 1000
        self._max_packets = max_packets
        self.no_video_after = NO_VIDEO_AFTER
        self.video_lost_after = VIDEO_LOST_AFTER
        self.packets: list[Packet] = []
        """From the keyframe on, audio and data included; read it, never change it."""
        self.generation = 0
        """Grows with each new GOP."""
        self.has_video = False
        """Whether video frames have come and not stopped."""
        self._bytes = 0
        self._first_timestamp = 0
        self._audio_run = 0  # since the last video, of the track that came first then …
        self._audio_track = 0  # … which is this one

    @property
    def audio_only(self) -> bool:
        """Whether audio has come for so long without video that nobody need wait for a keyframe."""
        return not self.has_video and self._audio_run >= self.no_video_after

    def add(self, packet: Packet) -> None:
        """Take the next packet of the stream; headers, ends and drops are none of the cache's."""
        role = packet.role
        if role is _AUDIO:
            if packet.track == self._audio_track:
                self._audio_run += 1
                if self._audio_run >= self.video_lost_after and self.has_video:
                    self.has_video = False
                    self.empty()
            elif not self._audio_run:
                self._audio_run = 1
                self._audio_track = packet.track
        elif role is _FRAME:
            self._audio_run = 0
            self.has_video = True
        elif role is _KEYFRAME:
            self._begin(packet)
            return
        elif role is not _DATA:
            return
        packets = self.packets
        if packets:
            packets.append(packet)
            self._bytes += len(packet.payload)
            if (
                self._bytes > self._max_bytes
                or packet.timestamp - self._first_timestamp > self._max_ms
                or len(packets) > self._max_packets
            ):
                self.empty()

    def clear(self) -> None:
        """Forget the GOP, and what is known about the stream's tracks."""
        self.empty()
        self._audio_run = 0
        self.has_video = False

    def empty(self) -> None:
        """Forget the GOP: the next keyframe begins a new one."""
        # A new list: whoever took the old one keeps it as it was.
        self.packets = []
        self._bytes = 0

    def _begin(self, packet: Packet) -> None:
        self.generation += 1
        self._audio_run = 0
        self.has_video = True
        self.empty()
        size = len(packet.payload)
        if size <= self._max_bytes and self._max_packets:
            self.packets.append(packet)
            self._bytes = size
            self._first_timestamp = packet.timestamp
