"""The raw send loop: the same bytes in the same number of writes to the same number of sockets.

No server can be cheaper that writes to each player by itself, so it is what all are held against.
"""

import asyncio
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from ..cache import cache_folder
from ..clip import Clip
from .base import HOST, Output, Running, Server, ServerError, process

_SOURCE: Final = Path(__file__).with_name("raw.c")
_LOOP: Final = Path(__file__).with_name("raw_loop.py")
_HEADER_BYTES: Final = 12  # of a message in one chunk
_CLOSE_US: Final = 10.0
_POLL_S: Final = 0.02
_POLLS: Final = 250

Block = tuple[int, int]
"""When it is due within the clip, in us, and its size."""


class RawLoop(Server):
    """A loop of `send`, in C where there is a compiler, that makes ``writes_per_s`` of the clip."""

    rtmp = False

    def __init__(self, name: str, clip: Clip, writes_per_s: float) -> None:
        self.name = name
        self._clip = clip
        self._writes_per_s = writes_per_s

    def missing(self) -> str:
        """Nothing: without a compiler it is in Python."""
        return ""

    def version(self) -> str:
        """Return in which language it is."""
        return f"send loop in {'C' if _compiler() else 'Python (there is no gcc)'}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Running]:
        """Run it on a free port."""
        blocks = schedule(self._clip, self._writes_per_s)
        with tempfile.TemporaryDirectory(prefix="headwater-bench-") as folder:
            plan = _write_plan(Path(folder, "schedule"), self._clip, blocks)
            async with process([*_program(), str(plan)]) as (child, output):
                port = await _port(output)
                url = f"rtmp://{HOST}:{port}/live/bench"
                yield Running(
                    publish_url=url,
                    play_url=url,
                    pids=(child.pid,),
                    writes_per_s=len(blocks) * 1000 / self._clip.duration_ms,
                )


def schedule(clip: Clip, writes_per_s: float) -> list[Block]:
    """Return the blocks of one loop of the clip: its messages, or what comes in each interval.

    Several messages come at once, so the interval is a bit shorter than that between two writes.
    """
    messages = [(tag.timestamp * 1000, len(tag.payload) + _HEADER_BYTES) for tag in clip.media]
    wanted = round(writes_per_s * clip.duration_ms / 1000)
    if wanted >= len(messages):
        return messages
    shorter, longer = 0.0, 1.5e6 / writes_per_s
    while longer - shorter > _CLOSE_US:
        middle = (shorter + longer) / 2
        if len(_joined(messages, middle)) > wanted:
            shorter = middle
        else:
            longer = middle
    return _joined(messages, longer)


def _write_plan(path: Path, clip: Clip, blocks: Sequence[Block]) -> Path:
    lines = [str(clip.duration_ms * 1000), *(f"{due} {size}" for due, size in blocks)]
    path.write_text("\n".join(lines) + "\n")
    return path


def _joined(messages: Sequence[Block], interval_us: float) -> list[Block]:
    blocks: dict[int, int] = {}
    for due, size in messages:
        end = int((due // interval_us + 1) * interval_us)
        blocks[end] = blocks.get(end, 0) + size
    return sorted(blocks.items())


def _compiler() -> str | None:
    return shutil.which("gcc") or shutil.which("cc")


def _program() -> list[str]:
    compiler = _compiler()
    if compiler is None:
        return [sys.executable, str(_LOOP)]
    program = cache_folder("raw") / "raw"
    if not program.exists() or program.stat().st_mtime < _SOURCE.stat().st_mtime:
        program.parent.mkdir(parents=True, exist_ok=True)
        command = [compiler, "-O2", "-Wall", "-o", str(program), str(_SOURCE)]
        subprocess.run(command, check=True, capture_output=True)
    return [str(program)]


async def _port(output: Output) -> int:
    for _ in range(_POLLS):
        if (text := output.text()).endswith("\n"):
            return int(text)
        await asyncio.sleep(_POLL_S)
    raise ServerError(f"the send loop does not start: {output.text()}")
