"""The clip that is published: an FLV, looped without end.

Both ends know the clip, so that a player can tell every message that is missing, repeated, out of
place or not what was sent.
"""

import hashlib
import os
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from common.errors import HeadwaterError, MediaError
from common.local.ffmpeg import FfmpegError, find_ffmpeg
from common.media.flv import classify
from common.media.flv_file import FlvTag, read_tags
from common.media.packet import HEADER_ROLES, Role
from common.rtmp.message import MessageType

from .synthetic import synthetic_flv

CLIP_S: Final = 8  # 48 kHz AAC: exactly 375 frames, so that a loop has no gap
_FPS: Final = 30

_ENCODE: Final = (
    *("-f", "lavfi", "-i", f"testsrc2=size=1280x720:rate={_FPS}"),
    *("-f", "lavfi", "-i", "anoisesrc=color=pink:amplitude=0.3:sample_rate=48000"),
    *("-t", str(CLIP_S), "-threads", "1"),
    *("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p"),
    *("-b:v", "900k", "-maxrate", "900k", "-bufsize", "900k"),
    *("-g", str(2 * _FPS), "-keyint_min", str(2 * _FPS), "-sc_threshold", "0", "-bf", "0"),
    *("-c:a", "aac", "-b:a", "96k", "-flvflags", "no_duration_filesize", "-f", "flv"),
)

_SET_DATA_FRAME: Final = b"\x02\x00\x0d@setDataFrame"


class ClipError(HeadwaterError):
    """The file cannot be published by the bench; says why."""


@dataclass(frozen=True)
class Clip:
    """A clip as RTMP messages: ``prelude`` is sent once, ``media`` over and over."""

    prelude: tuple[FlvTag, ...]  # metadata (as publishers send it) and codec headers
    media: tuple[FlvTag, ...]
    duration_ms: int

    @classmethod
    def load(cls, path: Path) -> "Clip":
        """Read an FLV file with AVC. Raises `ClipError`."""
        prelude: list[FlvTag] = []
        media: list[FlvTag] = []
        video: list[int] = []
        try:
            for tag in read_tags(path.read_bytes()):
                if tag.type_id == MessageType.DATA_AMF0:
                    prelude.append(tag._replace(timestamp=0, payload=_SET_DATA_FRAME + tag.payload))
                    continue
                found = classify(tag.type_id, tag.payload)
                if found.role in HEADER_ROLES:
                    prelude.append(tag._replace(timestamp=0))
                elif found.role in (Role.KEYFRAME, Role.FRAME, Role.AUDIO):
                    media.append(tag)
                    if found.role is not Role.AUDIO:
                        video.append(tag.timestamp)
        except (OSError, MediaError) as error:
            raise ClipError(f"{path}: {error}") from error
        if len(video) < 2 or not all(tag.payload[0] & 0x0F == 7 for tag in media if _is_video(tag)):
            raise ClipError(f"{path}: needs H.264 video, whose pictures can carry a time")
        duration = round((video[-1] - video[0]) * len(video) / (len(video) - 1))
        fitting = [tag for tag in media if tag.timestamp < duration]
        return cls(tuple(prelude), tuple(fitting), duration)

    def message(self, index: int) -> FlvTag:
        """Return the media message with this number, counted through all loops."""
        loop, at = divmod(index, len(self.media))
        tag = self.media[at]
        return tag._replace(timestamp=tag.timestamp + loop * self.duration_ms)

    @cached_property
    def keyframes(self) -> dict[bytes, int]:
        """Where in the clip each keyframe stands, by its payload."""
        return {
            tag.payload: index
            for index, tag in enumerate(self.media)
            if classify(tag.type_id, tag.payload).role is Role.KEYFRAME
        }

    @property
    def messages_per_s(self) -> float:
        """Media messages a second."""
        return len(self.media) * 1000 / self.duration_ms

    @property
    def kbps(self) -> float:
        """Payload, in kbit/s."""
        return sum(len(tag.payload) for tag in self.media) * 8 / self.duration_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipFile:
    """A clip on disk, and what to say of it."""

    path: Path
    origin: str


def default_clip() -> ClipFile:
    """Return the clip, made on first use: 720p30 H.264 of 0.9 Mbit/s, a keyframe each 2 s, AAC.

    Without an ffmpeg: packets of the same sizes and times with nothing in them.
    """
    try:
        program = find_ffmpeg()
    except FfmpegError:
        path = _cached("synthetic")
        if not path.exists():
            path.write_bytes(synthetic_flv(CLIP_S, _FPS))
        return ClipFile(path=path, origin="synthetic packets of 720p30 sizes (there is no ffmpeg)")
    path = _cached(hashlib.sha256(" ".join(_ENCODE).encode()).hexdigest()[:12])
    if not path.exists():
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder, "clip.flv")
            command = [str(program), "-loglevel", "error", *_ENCODE, str(made)]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
            made.replace(path)
    return ClipFile(path=path, origin="720p30 H.264 with a keyframe each 2 s and AAC, by ffmpeg")


def _cached(name: str) -> Path:
    return Path(tempfile.gettempdir(), f"headwater-clip-{os.getuid()}-{name}.flv")


def _is_video(tag: FlvTag) -> bool:
    return tag.type_id == MessageType.VIDEO
