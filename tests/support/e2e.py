"""The cluster that end-to-end tests share, as they see it, and the clips that they publish."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.media.flv_file import FlvTag
from tests.support.media import coded, read_flv
from tests.support.tools import QUIET, new_ffmpeg

GRACE_S: Final = 3
"""How long viewers of that cluster outlive their publisher; then they are told the end."""


@dataclass(frozen=True)
class Node:
    rtmp: str
    admin: str

    def url(self, stream: str) -> str:
        return f"rtmp://{self.rtmp}/{stream}"


@dataclass(frozen=True)
class Cluster:
    origins: list[Node]
    edges: list[Node]


@dataclass(frozen=True)
class Clip:
    path: Path
    tags: list[FlvTag]

    @property
    def coded(self) -> list[FlvTag]:
        """The coded media."""
        return coded(self.tags)

    @property
    def length_ms(self) -> int:
        """Where the clip can begin anew: one frame after its last one."""
        return max(tag.timestamp for tag in self.tags) + 40


def make_clip(folder: Path, name: str, *options: str, seconds: int = 3) -> Clip:
    """Encode a test picture with a tone: 320x180 at 25 frames/s, a keyframe each second."""
    path = folder / f"{name}.flv"
    picture = f"testsrc2=size=320x180:rate=25:duration={seconds}"
    tone = f"sine=frequency=440:sample_rate=48000:duration={seconds}"
    sources = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone]
    common = ["-pix_fmt", "yuv420p", "-g", "25", "-b:a", "64k", "-f", "flv", str(path)]
    subprocess.run([new_ffmpeg(), *QUIET, *sources, *options, *common], check=True, timeout=60)
    return Clip(path, read_flv(path))
