"""ffmpeg: where it is, and running it so that it tells how it gets on."""

import asyncio
import os
import shutil
from collections import deque
from collections.abc import Sequence
from importlib import util
from pathlib import Path
from typing import Final

from common.errors import HeadwaterError

STOP_S: Final = 3.0
"""What it is given to end in good order before it is killed."""

_KEPT_LINES: Final = 10

_NOWHERE: Final = "[null @"
"""How the muxer of `decode` begins what it says: on a busy machine it finds that times, rounded to
its own clock, do not grow. That is not about the stream."""


class FfmpegError(HeadwaterError):
    """There is no ffmpeg, or it did not do what was asked; the message says what to do."""


def find_ffmpeg() -> Path:
    """Return an ffmpeg: from the PATH, else of the imageio-ffmpeg wheel.

    Raises `FfmpegError` when there is none.
    """
    if found := shutil.which("ffmpeg"):
        return Path(found)
    if wheel := wheel_ffmpeg():
        return wheel
    raise FfmpegError("no ffmpeg found: pip install 'headwater[local]', or put ffmpeg on the PATH")


def wheel_ffmpeg() -> Path | None:
    """Return the ffmpeg inside the imageio-ffmpeg wheel, if that is installed."""
    wheel = util.find_spec("imageio_ffmpeg")
    for package in [] if wheel is None else list(wheel.submodule_search_locations or []):
        for program in sorted(Path(package, "binaries").glob("ffmpeg-*")):
            if os.access(program, os.X_OK):
                return program
    return None


def test_picture(url: str) -> list[str]:
    """Return arguments that publish a moving picture with a tone, in real time, until stopped.

    Small and cheap to encode, so that two slow cores have room for a cluster beside it.
    """
    return [
        *("-re", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30"),
        *("-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency"),
        *("-pix_fmt", "yuv420p", "-b:v", "1M", "-maxrate", "1M", "-bufsize", "500k"),
        *("-g", "60", "-keyint_min", "60", "-sc_threshold", "0"),
        *("-c:a", "aac", "-b:a", "96k", "-ac", "2"),
        *("-f", "flv", url),
    ]


def decode(url: str) -> list[str]:
    """Return arguments that play ``url`` and decode every frame of it, to no avail."""
    return ["-i", url, "-f", "null", "-"]


class FfmpegProcess:
    """A running ffmpeg.

    ``frames`` is the number of video frames that it has put out, ``errors`` the number of lines
    that it has logged as errors, ``last_words`` the latest of them.
    """

    def __init__(self, program: Path, arguments: Sequence[str]) -> None:
        self.frames = 0
        self.errors = 0
        self.last_words: deque[str] = deque(maxlen=_KEPT_LINES)
        self._command = [
            str(program),
            *("-hide_banner", "-nostdin", "-nostats", "-loglevel", "error"),
            *("-progress", "pipe:1", "-stats_period", "0.5"),
            *arguments,
        ]
        self._process: asyncio.subprocess.Process | None = None
        self._reading: list[asyncio.Task[None]] = []

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.returncode if self._process is not None else None

    @property
    def pid(self) -> int:
        """The process id; 0 before the start."""
        return self._process.pid if self._process is not None else 0

    async def start(self) -> None:
        """Start it. Raises `FfmpegError` when the program cannot be run."""
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,  # Ctrl-C in the terminal is ours alone
            )
        except OSError as error:
            raise FfmpegError(f"cannot run {self._command[0]}: {error.strerror}") from error
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._reading = [
            asyncio.create_task(self._read_progress(self._process.stdout)),
            asyncio.create_task(self._read_errors(self._process.stderr)),
        ]

    async def ended(self) -> int:
        """Wait until it has ended and all that it said was read; return the exit code."""
        if self._process is None:
            return 0
        code = await self._process.wait()
        await asyncio.wait(self._reading)  # unlike a plain await, this never cancels them
        return code

    async def stop(self) -> None:
        """Ask it to end, and kill it when it does not; harmless when it has ended."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await self.ended()
        except TimeoutError:
            self._process.kill()
            await self.ended()

    def explain(self) -> str:
        """Return what it said last, as one line."""
        return "; ".join(self.last_words) or "it gave no reason"

    async def _read_progress(self, stdout: asyncio.StreamReader) -> None:
        async for line in stdout:
            key, _, value = line.decode(errors="replace").strip().partition("=")
            if key == "frame" and value.isdigit():
                self.frames = int(value)

    async def _read_errors(self, stderr: asyncio.StreamReader) -> None:
        async for line in stderr:
            words = line.decode(errors="replace").strip()
            if not words.startswith(_NOWHERE):
                self.errors += 1
                self.last_words.append(words)
