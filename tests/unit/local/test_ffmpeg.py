from pathlib import Path

import pytest

from common.local import ffmpeg
from common.local.ffmpeg import FfmpegError, FfmpegProcess, find_ffmpeg


def make_program(folder: Path, script: str) -> Path:
    program = folder / "ffmpeg"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def test_the_path_comes_before_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = make_program(tmp_path, "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_ffmpeg() == program


def test_without_one_on_the_path_the_wheel_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("imageio_ffmpeg")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_ffmpeg().parent.parent.name == "imageio_ffmpeg"


def test_without_any_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(ffmpeg, "wheel_ffmpeg", lambda: None)
    with pytest.raises(FfmpegError, match=r"pip install 'headwater\[local\]'"):
        find_ffmpeg()


async def test_a_process_tells_how_it_gets_on(tmp_path: Path) -> None:
    script = (
        "echo frame=7; echo fps=30; echo frame=42; echo first >&2; "
        "echo '[null @ 0x5] invalid, non monotonically increasing dts' >&2; echo second >&2; exit 5"
    )
    process = FfmpegProcess(make_program(tmp_path, script), ["-i", "x"])
    await process.start()
    assert await process.ended() == 5
    assert (process.frames, process.errors, process.exit_code) == (42, 2, 5)
    assert process.explain() == "first; second"
    await process.stop()


async def test_a_process_that_does_not_listen_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ffmpeg, "STOP_S", 0.05)
    script = "trap '' TERM; echo frame=1; while :; do read -r _ || :; done"
    process = FfmpegProcess(make_program(tmp_path, script), [])
    await process.start()
    await process.stop()
    assert process.exit_code is not None
    assert process.exit_code < 0


async def test_a_program_that_cannot_be_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FfmpegError, match="cannot run"):
        await FfmpegProcess(tmp_path / "nothing", []).start()
