"""Watching real processes in tests, without sleeping and hoping."""

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

DEADLINE_S = 15.0
_POLL_S = 0.005


async def until(condition: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
    """Return when ``condition`` holds; raise TimeoutError when it does not in time."""
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110 # nothing tells us about other processes
            await asyncio.sleep(_POLL_S)


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
