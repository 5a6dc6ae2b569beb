"""Looking at real processes in tests (Linux)."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


def is_alive(pid: int) -> bool:
    """Say whether a process runs; one that has ended and was not waited for does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return not Path("/proc").is_dir() and _answers(pid)
    return stat.rpartition(")")[2].split()[0] != "Z"


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def with_environment(name: str, value: str) -> Iterator[int]:
    """Yield every process whose environment says so: a way to know all that was started."""
    variable = os.fsencode(f"{name}={value}") + b"\0"
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            environment = path.read_bytes()
        except OSError:
            continue
        if variable in environment and is_alive(int(path.parent.name)):
            yield int(path.parent.name)


def children(parent: int) -> list[int]:
    """Return the processes that a process has started and that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        if int(fields[1]) == parent:
            found.append(int(path.parent.name))
    return found


def rss_bytes(pid: int) -> int:
    """Return how much memory of a process is resident; raises OSError when it is gone."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES


def descriptors(pid: int) -> int:
    """Return how many descriptors a process has open; raises OSError when it is gone."""
    return len(os.listdir(f"/proc/{pid}/fd"))
