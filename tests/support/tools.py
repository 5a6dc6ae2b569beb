"""The encoders and players of others: where they are, and running them."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from common.local.ffmpeg import wheel_ffmpeg

PATIENCE_S = 40.0


@dataclass
class Tool:
    """A program that runs."""

    name: str
    process: asyncio.subprocess.Process
    output: "asyncio.Task[bytes]"

    @property
    def runs(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.returncode is None

    async def ended(self) -> tuple[int, str]:
        """Wait for its end; return the exit code and all that it wrote."""
        async with asyncio.timeout(PATIENCE_S):
            text = await asyncio.shield(self.output)
            return await self.process.wait(), text.decode(errors="replace")

    async def succeeded(self) -> str:
        """Wait for its end, assert that it went well, and return what it wrote."""
        code, text = await self.ended()
        assert code == 0, f"{self.name} ended with {code}: {text}"
        return text


@asynccontextmanager
async def running(program: Path | str, *arguments: str | Path) -> AsyncIterator[Tool]:
    """Run a program; when the block is left before it has ended it is killed."""
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    output = asyncio.create_task(process.stdout.read())
    try:
        yield Tool(Path(program).name, process, output)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await output


def new_ffmpeg() -> Path:
    """Return the ffmpeg of the wheel, which knows Enhanced RTMP; skips the test without it."""
    return wheel_ffmpeg() or pytest.skip("imageio-ffmpeg is not installed")


def system_tool(name: str) -> Path:
    """Return a program of the system; skips the test when it is not installed."""
    return Path(shutil.which(name) or pytest.skip(f"{name} is not installed"))


QUIET = ("-hide_banner", "-nostdin", "-nostats", "-loglevel", "error")


def publish_file(clip: Path, url: str, *, loop: bool = False) -> list[str]:
    """Return ffmpeg's arguments that publish a file at its pace, packets untouched."""
    repeat = ("-stream_loop", "-1") if loop else ()
    return [*QUIET, "-re", *repeat, "-i", str(clip), "-c", "copy", "-f", "flv", url]


def record(url: str, target: Path) -> list[str]:
    """Return ffmpeg's arguments that write a stream to an FLV file, packets untouched."""
    return [*QUIET, "-y", "-i", url, "-c", "copy", "-f", "flv", str(target)]


def decode(source: Path | str, *options: str) -> list[str]:
    """Return ffmpeg's arguments that decode everything, and fail at the first error."""
    return [
        *QUIET,
        "-xerror",
        "-err_detect",
        "explode",
        "-i",
        str(source),
        *options,
        "-f",
        "null",
        "-",
    ]
