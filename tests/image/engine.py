"""A Docker engine for the length of a test."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Final

_START_S: Final = 60


class CannotStart(Exception):
    """No engine can be started here; the text says why."""


@contextmanager
def engine(folder: Path, *flags: str) -> Iterator[str]:
    """Run an engine whose state is below ``folder``; yield its address. Raises CannotStart."""
    host = f"unix://{folder}/docker.sock"
    log = folder / "dockerd.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *("dockerd", "--data-root", str(folder / "data"), "--exec-root"),
                *(str(folder / "exec"), "--pidfile", str(folder / "pid"), "--host", host, *flags),
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_for(process, host, log)
        yield host
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        process.kill()
        # What an engine that was killed leaves mounted would keep its folder from going.
        for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
            if line.split()[1].startswith(str(folder)):
                subprocess.run(["umount", "--lazy", line.split()[1]], check=False)


def _wait_for(process: subprocess.Popen[bytes], host: str, log: Path) -> None:
    deadline = monotonic() + _START_S
    while monotonic() < deadline and process.poll() is None:
        asked = subprocess.run(["docker", "-H", host, "info"], capture_output=True, check=False)
        if asked.returncode == 0:
            return
        sleep(0.2)
    words = log.read_text(errors="replace").strip().splitlines()[-3:]
    raise CannotStart(f"dockerd does not run: {' / '.join(words)}")
