"""The clip that load tests publish: made once by ffmpeg, looped without end, stamped when sent.

A stamp is an SEI message in front of a picture [H.264 D.2.7, user data unregistered]: decoders
skip it, and a player on the same machine reads from it when the picture was sent, whichever way
it came and whichever process plays. Both ends know the clip, so that a player can tell every
message that is missing, repeated, out of place or not what was sent.
"""

import hashlib
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from common.media.flv import classify
from common.media.flv_file import FlvTag, read_tags
from common.media.packet import HEADER_ROLES, Role
from common.rtmp.message import MessageType

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
_AVC_HEADER_BYTES: Final = 5
_SEI: Final = b"\x06\x05\x20headwater-stamp:"  # NAL type 6, payload type 5, 32 bytes, "UUID"
_STAMP_DIGITS: Final = 16  # hexadecimal: needs no emulation prevention
_STAMP_TAIL: Final = b"\x80"
_STAMP_HEAD: Final = (len(_SEI) + _STAMP_DIGITS + 1).to_bytes(4, "big") + _SEI
_DIGITS_AT: Final = _AVC_HEADER_BYTES + len(_STAMP_HEAD)
_STAMP_END: Final = _DIGITS_AT + _STAMP_DIGITS + len(_STAMP_TAIL)


def stamp(payload: bytes) -> bytes:
    """Return an AVC picture with the present time in it."""
    digits = b"%016x" % time.monotonic_ns()
    return b"".join(
        (payload[:_AVC_HEADER_BYTES], _STAMP_HEAD, digits, _STAMP_TAIL, payload[_AVC_HEADER_BYTES:])
    )


def unstamp(payload: bytes) -> tuple[int | None, bytes]:
    """Return when a body was sent, on the machine's monotonic clock in ns, and it as it was."""
    if payload[_AVC_HEADER_BYTES:_DIGITS_AT] != _STAMP_HEAD:
        return None, payload
    sent_ns = int(payload[_DIGITS_AT : _STAMP_END - len(_STAMP_TAIL)], 16)
    return sent_ns, payload[:_AVC_HEADER_BYTES] + payload[_STAMP_END:]


@dataclass(frozen=True)
class Clip:
    """A clip as RTMP messages: ``prelude`` is sent once, ``media`` over and over."""

    prelude: tuple[FlvTag, ...]  # metadata (as publishers send it) and codec headers
    media: tuple[FlvTag, ...]
    duration_ms: int

    @classmethod
    def load(cls, path: Path) -> "Clip":
        """Read an FLV file with AVC and AAC."""
        prelude: list[FlvTag] = []
        media: list[FlvTag] = []
        video: list[int] = []
        for tag in read_tags(path.read_bytes()):
            if tag.type_id == MessageType.DATA_AMF0:
                prelude.append(tag._replace(timestamp=0, payload=_SET_DATA_FRAME + tag.payload))
                continue
            role = classify(tag.type_id, tag.payload).role
            if role in HEADER_ROLES:
                prelude.append(tag._replace(timestamp=0))
            elif role in (Role.KEYFRAME, Role.FRAME, Role.AUDIO):
                media.append(tag)
                if role is not Role.AUDIO:
                    video.append(tag.timestamp)
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


def default_clip() -> Path:
    """Return the clip, made on first use: 720p30 H.264 of 0.9 Mbit/s, a keyframe each 2 s, AAC."""
    digest = hashlib.sha256(" ".join(_ENCODE).encode()).hexdigest()[:12]
    path = Path(tempfile.gettempdir(), f"headwater-clip-{os.getuid()}-{digest}.flv")
    if not path.exists():
        from imageio_ffmpeg import get_ffmpeg_exe  # looks for a program when it is imported

        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder, "clip.flv")
            command = [get_ffmpeg_exe(), "-loglevel", "error", *_ENCODE, str(made)]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
            made.replace(path)
    return path
