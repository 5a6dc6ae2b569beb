"""The command `headwater demo`: what it prints, its verdict, and that it leaves nothing behind."""

import asyncio
import re
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from common.supervisor.python_module import module_command, module_environment
from tests.support.processes import with_environment
from tests.support.tools import new_ffmpeg
from tests.support.wait import until

pytestmark = pytest.mark.e2e

PATIENCE_S = 60

FIGURES = re.compile(
    r"(edge-\d): viewers (\d+), relays (\d+), frames (\d+), errors (\d+), ([\d.]+) Mbit/s,"
    r" first frame ([\d.]+) ms, latency p50 ([\d.]+) ms p99 ([\d.]+) ms"
)


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder with a short path, unlike ``tmp_path``: Unix sockets are made in it."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


class Demo:
    def __init__(self, process: asyncio.subprocess.Process, temporary: Path) -> None:
        self.process = process
        self.temporary = temporary
        self.text = ""

    def processes(self) -> list[int]:
        return list(with_environment("TMPDIR", str(self.temporary)))

    async def until_it_says(self, words: str) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            while words not in self.text:
                line = await self.process.stdout.readline()
                assert line, f"ended without {words!r}: {self.text}"
                self.text += line.decode()

    async def ended(self) -> int:
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            self.text += (await self.process.stdout.read()).decode()
            return await self.process.wait()

    def assert_that_nothing_is_left(self) -> None:
        assert self.processes() == []
        assert list(self.temporary.iterdir()) == []


@asynccontextmanager
async def demo(temporary: Path, *arguments: str, **environment: str) -> AsyncIterator[Demo]:
    process = await asyncio.create_subprocess_exec(
        *module_command("common.cli", "demo", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=module_environment(TMPDIR=str(temporary), **environment),
    )
    running = Demo(process, temporary)
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await until(lambda: not running.processes())


async def test_it_succeeds_when_both_edges_show_the_picture(temporary: Path) -> None:
    new_ffmpeg()  # the demo needs one, too
    async with demo(temporary, "--duration", "8") as it:
        code = await it.ended()
        assert code == 0, it.text
        it.assert_that_nothing_is_left()
    assert "every player on every edge decoded the picture" in it.text
    assert "publish with OBS    server rtmp://127.0.0.1:" in it.text
    assert it.text.count("watch it            ffplay rtmp://127.0.0.1:") == 2
    assert it.text.count("admin http://127.0.0.1:") == 4
    assert "Traceback" not in it.text
    last = FIGURES.findall(it.text)[-2:]
    assert [figures[0] for figures in last] == ["edge-1", "edge-2"]
    for _, viewers, relays, frames, errors, *_ in last:
        assert (viewers, relays, errors) == ("2", "1", "0")
        assert int(frames) >= 30
    assert re.search(r"origin-1: publishers 1, relays 2\b", it.text)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_ends_cleanly_when_told_to(
    temporary: Path, tmp_path: Path, number: signal.Signals
) -> None:
    new_ffmpeg()
    small = ("--origins", "1", "--edges", "1", "--workers", "1")
    # With nothing on the PATH it is the wheels' ffmpeg and Redis that run.
    async with demo(temporary, *small, PATH=str(tmp_path)) as it:
        await it.until_it_says("relays 1, frames")
        it.process.send_signal(number)
        assert await it.ended() == 0, it.text
        it.assert_that_nothing_is_left()
        assert "Traceback" not in it.text


@pytest.fixture
def broken_ffmpeg(tmp_path: Path) -> Path:
    """An ffmpeg that cannot encode."""
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho Unknown encoder libx264 >&2\nexit 3\n")
    program.chmod(0o755)
    return program


async def test_it_fails_and_says_why_when_ffmpeg_cannot_publish(
    temporary: Path, broken_ffmpeg: Path
) -> None:
    path = f"{broken_ffmpeg.parent}:/usr/bin:/bin"
    async with demo(temporary, "--duration", "8", PATH=path) as it:
        assert await it.ended() == 1
        it.assert_that_nothing_is_left()
    assert f"the publishing ffmpeg ({broken_ffmpeg}) ended (3): Unknown encoder" in it.text


async def test_it_fails_and_names_the_players_that_got_too_little(temporary: Path) -> None:
    new_ffmpeg()
    small = ("--origins", "1", "--edges", "1", "--workers", "1")
    async with demo(temporary, *small, "--duration", "1") as it:
        code = await it.ended()
    frames = [int(figures[3]) for figures in FIGURES.findall(it.text)][-1:]
    if frames and frames[0] >= 30:
        pytest.skip("this machine decodes a second of picture at once")
    assert code == 1
    assert re.search(r"FAILED: edge-1: ffmpeg decoded \d+ frames of at least 30", it.text)
