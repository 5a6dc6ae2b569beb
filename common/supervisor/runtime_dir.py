"""The folder where a running node keeps its Unix sockets and metric files."""

import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from common.errors import ConfigError
from common.metrics import prepare

MAX_SOCKET_PATH_BYTES: Final = 107 if sys.platform == "linux" else 103
"""``sun_path`` of `sockaddr_un` has 108 bytes on Linux and 104 on macOS, with the final zero."""

_SOCKETS = "worker-*.sock"
_LONGEST_SOCKET = "worker-9999.255.sock"  # after so many reloads


def metrics_dir(runtime_dir: Path) -> Path:
    """Return where the workers of a node keep their metric files."""
    return runtime_dir / "metrics"


@contextmanager
def open_runtime_dir(wanted: Path | None) -> Iterator[Path]:
    """Make a node's runtime folder, private to its user, and clear it away at the end.

    None makes a fresh temporary folder. A ``wanted`` one may exist; what an earlier node that was
    killed has left in it is removed.

    Raises:
        ConfigError: the folder cannot be made, is in use by another node, or its path is too long.
    """
    path, made = _make(wanted)
    try:
        _check_length(path)
        with _locked(path):
            _clear(path)
            prepare(metrics_dir(path))
            try:
                yield path
            finally:
                _clear(path)
    finally:
        if made:
            shutil.rmtree(path, ignore_errors=True)


def _make(wanted: Path | None) -> tuple[Path, bool]:
    if wanted is None:
        return Path(tempfile.mkdtemp(prefix="headwater-")), True
    path = wanted.absolute()
    try:
        existed = path.is_dir()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError([f"node.runtime_dir: cannot make {path}: {error.strerror}"]) from error
    return path, not existed


def _check_length(path: Path) -> None:
    length = len(os.fsencode(path / _LONGEST_SOCKET))
    if length > MAX_SOCKET_PATH_BYTES:
        raise ConfigError(
            [
                f"node.runtime_dir: {path} is too long: a Unix socket in it would have a path of "
                f"{length} bytes, the system allows {MAX_SOCKET_PATH_BYTES}"
            ]
        )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    # Two nodes in one folder would take each other's sockets and add up each other's metrics.
    # The folder itself is locked, so that no lock file has to be left behind.
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError([f"node.runtime_dir: cannot use {path}: {error.strerror}"]) from error
    try:
        _lock(folder, path)
        yield
    finally:
        os.close(folder)


def _lock(folder: int, path: Path) -> None:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigError([f"node.runtime_dir: {path} is in use by another node"]) from error


def _clear(path: Path) -> None:
    for left in path.glob(_SOCKETS):
        left.unlink(missing_ok=True)
    shutil.rmtree(metrics_dir(path), ignore_errors=True)
