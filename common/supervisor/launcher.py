"""The process that started a node, at the other end of ``--ready-fd``."""

import asyncio
import json
import os
import socket
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Protocol

from common.errors import ConfigError
from common.logs import get_log

_log = get_log("supervisor")


class Launcher(Protocol):
    """What a node needs of the process that started it."""

    def tell(self, ready: Mapping[str, object]) -> None:
        """Say, once, that the node is ready."""
        ...

    async def gone(self) -> None:
        """Return when the launcher has gone; never, when that cannot be known."""
        ...


@contextmanager
def open_launcher(ready_fd: int | None) -> Iterator[Launcher]:
    """Take over the descriptor that is to be told, by one line of JSON, when the node is ready.

    What the descriptor is decides the rest. A pipe or a file is written to and closed. A socket
    stays open, and its end of file says that the launcher has gone: a cluster on a developer's
    machine ends with the command that started it, even when that was killed with SIGKILL.

    Raises:
        ConfigError: the descriptor is not open.
    """
    if ready_fd is None:
        yield _NoLauncher()
        return
    try:
        is_socket = stat.S_ISSOCK(os.fstat(ready_fd).st_mode)
    except OSError as error:
        raise ConfigError([f"--ready-fd: {ready_fd} is not an open descriptor"]) from error
    if not is_socket:
        yield _Pipe(ready_fd)
        return
    with socket.socket(fileno=ready_fd) as end:
        yield _Socket(end)


class _NoLauncher:
    """Nobody wants to know."""

    def tell(self, ready: Mapping[str, object]) -> None:
        """Do nothing."""

    async def gone(self) -> None:
        """Never return."""
        await asyncio.Event().wait()


class _Pipe(_NoLauncher):
    """A pipe or a file: takes the line, and tells nothing."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def tell(self, ready: Mapping[str, object]) -> None:
        """Write the line, and close."""
        try:
            os.write(self._fd, _line(ready))
        except BrokenPipeError as error:  # it did not wait; the node is of use without it
            _log.warning("launcher does not listen", reason=error)
        os.close(self._fd)


class _Socket:
    """One end of a socket pair; the launcher holds the other one."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def tell(self, ready: Mapping[str, object]) -> None:
        """Write the line."""
        try:
            self._end.send(_line(ready))
        except OSError as error:
            _log.warning("launcher does not listen", reason=error)

    async def gone(self) -> None:
        """Return at the end of file."""
        self._end.setblocking(False)
        loop = asyncio.get_running_loop()
        with suppress(ConnectionError):
            while await loop.sock_recv(self._end, 1024):
                pass  # it has nothing to say


def _line(ready: Mapping[str, object]) -> bytes:
    return json.dumps(ready).encode() + b"\n"
