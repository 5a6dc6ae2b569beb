"""What a server is for the bench."""

import asyncio
import shutil
import signal
import socket
import tempfile
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from common.errors import HeadwaterError
from common.local.guard import guard

from ..metrics import Metrics

HOST: Final = "127.0.0.1"
_START_S: Final = 15.0
_STOP_S: Final = 5.0
_POLL_S: Final = 0.02
_LAST_WORDS: Final = 2000

Process = asyncio.subprocess.Process


class ServerError(HeadwaterError):
    """A server did not start; says what it wrote last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server that runs."""

    publish_url: str  # of the first stream
    play_url: str
    pids: tuple[int, ...]  # of the processes that are judged
    others: tuple[int, ...] = ()  # of those that belong to it besides
    is_ours: bool = True  # it was started for this, and may be moved to other cores
    writes_per_s: float = 0.0  # to each player, where that is known beforehand
    metrics: Callable[[], Awaitable[Metrics]] | None = None
    errors: list[str] = field(default_factory=list)  # grows with what it logs as errors


class Server(ABC):
    """A server that can be started. ``name`` tells it from the others of a comparison."""

    name: str
    rtmp = True  # else it only sends bytes
    strict = False  # whatever its players miss is a failure of the bench

    @abstractmethod
    def missing(self) -> str:
        """Return how to get it, or "" when it is there."""

    @abstractmethod
    def version(self) -> str:
        """Return what it is, for the report; it is not missing."""

    @abstractmethod
    def running(self) -> AbstractAsyncContextManager[Running]:
        """Run it for the length of a block. Raises `HeadwaterError` when it does not start."""


class Output:
    """What a process has written, in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def text(self) -> str:
        """Return the end of it."""
        return self.path.read_text(errors="replace")[-_LAST_WORDS:]


@asynccontextmanager
async def process(command: Sequence[str]) -> AsyncIterator[tuple[Process, Output]]:
    """Run a process in a folder of its own, which goes when it ends."""
    folder = Path(tempfile.mkdtemp(prefix="headwater-bench-"))
    output = Output(folder / "output")
    try:
        child = await _start(command, output.path)
        try:
            async with guard(pids=[child.pid], folders=[folder]):
                yield child, output
        finally:
            await _end(child)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def until_listening(child: Process, output: Output, port: int) -> None:
    """Return when somebody listens on the port. Raises `ServerError`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _START_S
    while child.returncode is None and loop.time() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        await asyncio.sleep(_POLL_S)
    raise ServerError(f"nobody listens on port {port}: {output.text()}")


async def _start(command: Sequence[str], output: Path) -> Process:
    with output.open("wb") as file:
        return await asyncio.create_subprocess_exec(
            *command,
            cwd=output.parent,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=file,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal is ours alone
        )


async def _end(child: Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if child.returncode is None:
            child.send_signal(number)
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S):
                await child.wait()
                return
