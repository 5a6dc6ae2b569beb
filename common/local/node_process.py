"""One node of a local cluster, as a process of its own."""

import asyncio
import json
import signal
import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from common.cluster.records import NodeRole
from common.errors import HeadwaterError
from common.supervisor.exit_codes import describe_exit

START_TIMEOUT_S: Final = 60.0
"""A machine that is busy starting a dozen processes takes its time."""

DRAIN_S: Final = 2.0
"""What a node is given to drain before it is told to stop."""

STOP_S: Final = 5.0
"""What it is given then before it is killed."""

_LAST_WORDS: Final = 15
_MAX_LINE_BYTES: Final = 65_536


class LocalClusterError(HeadwaterError):
    """A node of a local cluster did not start; says what it logged last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeInfo:
    """What a node tells of itself when it is ready."""

    id: str
    pid: int
    rtmp: str  # "host:port"
    admin: str  # "host:port"
    workers: tuple[int, ...]  # pids at that time

    def as_dict(self) -> dict[str, object]:
        """Return the fields as they are printed."""
        return asdict(self)


class NodeProcess:
    """Starts a node, waits until it is ready, passes its log on and ends it.

    The node holds one end of a socket pair and ends when ours is closed, however that comes about.
    """

    def __init__(self, role: NodeRole, name: str, log: Callable[[str], None]) -> None:
        self.role = role
        self.name = name
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._launcher: socket.socket | None = None
        self._logging: asyncio.Task[None] | None = None
        self._last_words: deque[str] = deque(maxlen=_LAST_WORDS)

    async def start(
        self, command: Callable[[int], Sequence[str]], environment: Mapping[str, str]
    ) -> NodeInfo:
        """Start the node and return what it says when it is ready.

        ``command`` makes the command line for a given ``--ready-fd``.

        Raises:
            LocalClusterError: it ended instead, or was not ready in time.
        """
        if self._launcher is not None:
            self._launcher.close()
        self._launcher, theirs = socket.socketpair()
        self._launcher.setblocking(False)
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                *command(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                pass_fds=(theirs.fileno(),),
                env=environment,
                start_new_session=True,  # Ctrl-C in the terminal is ours alone
            )
        self._last_words.clear()
        self._logging = asyncio.create_task(self._pass_log_on(self._process))
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                line = await self._receive_line(self._launcher)
        except TimeoutError:
            self._process.kill()
            raise self._failure(f"is not ready after {START_TIMEOUT_S:g} s") from None
        if not line:
            code = await self.ended()
            raise self._failure(f"ended at its start ({describe_exit(code)})")
        return _parse(line)

    async def ended(self) -> int:
        """Wait until the process has ended and its log was passed on; return its exit code."""
        if self._process is None or self._logging is None:
            return 0
        code = await self._process.wait()
        await asyncio.wait({self._logging})  # unlike a plain await, this never cancels it
        return code

    async def stop(self) -> None:
        """End the node: drain it, stop it, kill it, whichever succeeds first."""
        for number, patience_s in ((signal.SIGTERM, DRAIN_S), (signal.SIGTERM, STOP_S)):
            if await self._end(number, patience_s):
                break
        else:
            await self._end(signal.SIGKILL, None)
        if self._launcher is not None:
            self._launcher.close()

    async def _end(self, number: signal.Signals, patience_s: float | None) -> bool:
        if self._process is None or self._process.returncode is not None:
            return True
        self._process.send_signal(number)
        try:
            async with asyncio.timeout(patience_s):
                await self.ended()
        except TimeoutError:
            return False
        return True

    @staticmethod
    async def _receive_line(launcher: socket.socket) -> bytes:
        loop = asyncio.get_running_loop()
        line = b""
        while not line.endswith(b"\n"):
            data = await loop.sock_recv(launcher, _MAX_LINE_BYTES)
            if not data:
                return b""
            line += data
        return line

    async def _pass_log_on(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        # Not readline: it gives up on a line over its limit, and the node would block on its log.
        rest = b""
        while data := await process.stdout.read(_MAX_LINE_BYTES):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._pass_on(line)
            rest = rest[-_MAX_LINE_BYTES:]
        if rest:
            self._pass_on(rest)

    def _pass_on(self, line: bytes) -> None:
        text = line.decode(errors="replace")
        self._last_words.append(text)
        self._log(text)

    def _failure(self, what: str) -> LocalClusterError:
        words = "".join(f"\n  {line}" for line in self._last_words)
        return LocalClusterError(f"{self.name} {what}{words and '; it logged last:'}{words}")


def _parse(line: bytes) -> NodeInfo:
    ready = json.loads(line)
    return NodeInfo(
        id=ready["id"],
        pid=ready["pid"],
        rtmp=ready["rtmp"],
        admin=ready["admin"],
        workers=tuple(ready["workers"]),
    )
