"""Long-running programs of the rig: each with a log, ended in the reverse order of their start."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from tests.kubernetes.tools import Failed

_START_S: Final = 120
_STOP_S: Final = 20


@dataclass
class Daemons:
    """Programs that run until the end of the rig."""

    logs: Path
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(
        self,
        name: str,
        command: list[str],
        *,
        until: Callable[[], bool] = lambda: True,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start a program and wait until it is of use. Raises Failed with its last words."""
        log = self.logs / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,  # Ctrl-C is ours alone
            )
        self._running.append(process)
        deadline = monotonic() + _START_S
        while not until():
            if process.poll() is not None or monotonic() > deadline:
                words = log.read_text(errors="replace").strip().splitlines()[-12:]
                raise Failed("\n".join([f"{name} does not run:", *words]))
            sleep(0.1)

    def stop(self) -> None:
        """End all of them."""
        while self._running:
            process = self._running.pop()
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_S)
            process.kill()
            process.wait()


@contextmanager
def daemons(logs: Path) -> Iterator[Daemons]:
    """Have programs run for the length of the block."""
    logs.mkdir()
    running = Daemons(logs)
    try:
        yield running
    finally:
        running.stop()
