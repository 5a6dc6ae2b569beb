"""Cores of its own for the server that is judged, where there are enough of them.

Publishers and players are woken thousands of times a second. On the server's core they push it
aside and out of the caches, more or less often as chance has it, and it pays for that: across a
network neither happens. (nginx with 1,000 players was pushed aside 1,274 times a second, and is so
55 times.)
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def apart(judged: Sequence[int], others: Iterable[int]) -> Iterator[None]:
    """Keep the ``judged`` processes to as many cores, and all else of the bench to the rest.

    Processes that are started from here within the block are among the rest. Nothing is done where
    none would be left (or on a system that has no such calls).
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if not 0 < len(judged) < len(cores):
        yield
        return
    own, rest = set(cores[: len(judged)]), set(cores[len(judged) :])
    for pid in judged:
        _keep_to(own, pid)
    for pid in (os.getpid(), *others):
        _keep_to(rest, pid)
    try:
        yield
    finally:
        _keep_to(set(cores), os.getpid())


def _keep_to(cores: set[int], pid: int) -> None:
    with suppress(OSError):  # it, or a thread of it, has ended
        for task in Path("/proc", str(pid), "task").iterdir():
            os.sched_setaffinity(int(task.name), cores)
