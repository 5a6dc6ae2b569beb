"""A role that does next to nothing: for tests of the supervisor with real processes.

``SLEEPY_MODE`` in the environment says how it behaves, ``SLEEPY_JOURNAL`` names a file where each
worker writes what happens to it, one JSON object per line.
"""

import asyncio
import errno
import json
import os
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from common.config.model import Settings
from common.supervisor.app import WorkerContext, WorkerStatus
from common.supervisor.worker import run_worker

MODULE = "tests.support.sleepy_role"
MODE_ENV = "SLEEPY_MODE"
JOURNAL_ENV = "SLEEPY_JOURNAL"


class Mode(StrEnum):
    """How the role behaves."""

    WELL = "well"
    CRASH = "crash"  # the process ends as soon as it has started
    PORT_IN_USE = "port_in_use"
    NEVER_READY = "never_ready"
    WEDGE = "wedge"  # the event loop stops turning as soon as the worker is ready
    BUSY = "busy"  # has connections that do not end by themselves


@dataclass(slots=True)
class Journal:
    """Reads what the workers wrote."""

    path: Path

    def events(self, name: str) -> list[dict[str, object]]:
        """Return the entries of one kind, oldest first."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        return [entry for entry in map(json.loads, lines) if entry["event"] == name]


class SleepyApp:
    """Listens on the node's port, tells each connection its pid, and sleeps."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._mode = Mode(os.environ.get(MODE_ENV, Mode.WELL))
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Open the listener, unless the mode says otherwise."""
        self._note("start")
        match self._mode:
            case Mode.CRASH:
                os._exit(70)
            case Mode.PORT_IN_USE:
                raise OSError(errno.EADDRINUSE, "address in use: 127.0.0.1:1")
            case Mode.NEVER_READY:
                await asyncio.Event().wait()
        self._server = await asyncio.start_server(
            self._answer, self._context.rtmp_host, self._context.rtmp_port, reuse_port=True
        )
        if self._mode is Mode.WEDGE:
            asyncio.get_running_loop().call_later(0.01, time.sleep, 60)

    def status(self) -> WorkerStatus:
        """Return figures that a test can recognise."""
        return WorkerStatus(viewers=self._context.slot + 1)

    def members_changed(self, slots: frozenset[int]) -> None:
        """Write down the members."""
        self._note("members", slots=sorted(slots))

    async def retire(self) -> None:
        """Close the listener; return at once, or never when busy."""
        self._note("retire")
        if self._server is not None:
            self._server.close()
        if self._mode is Mode.BUSY:
            await asyncio.Event().wait()

    async def drain(self, timeout_s: float) -> None:
        """Return at once, or stay until the time is over when busy."""
        self._note("drain")
        if self._mode is Mode.BUSY:
            await asyncio.sleep(timeout_s)

    async def stop(self) -> None:
        """Close the listener."""
        self._note("stop")
        if self._server is not None:
            self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(str(os.getpid()).encode())
        writer.close()

    def _note(self, event: str, **fields: object) -> None:
        if path := os.environ.get(JOURNAL_ENV):
            entry = {"event": event, "slot": self._context.slot, "pid": os.getpid(), **fields}
            # One short write in append mode: lines of several workers do not mix.
            with open(path, "a") as journal:
                journal.write(json.dumps(entry) + "\n")


def settings_for_tests(**sections: dict[str, object]) -> Settings:
    """Return settings with everything on loopback, free ports and short times."""
    base: dict[str, dict[str, object]] = {
        "node": {"workers": 2},
        "rtmp": {"listen": "127.0.0.1:0"},
        "admin": {"listen": "127.0.0.1:0"},
        "redis": {"url": "redis://127.0.0.1:1/0", "timeout_s": 0.2, "connect_timeout_s": 0.2},
        "lease": {"ttl_s": 1.0, "renew_s": 0.1},
        "supervisor": {
            "heartbeat_s": 0.05,
            "backoff_min_s": 0.02,
            "backoff_max_s": 0.1,
            "drain_s": 5.0,
        },
    }
    merged = {name: base.get(name, {}) | sections.get(name, {}) for name in base | sections}
    return Settings.model_validate(merged)


if __name__ == "__main__":
    run_worker(SleepyApp)
