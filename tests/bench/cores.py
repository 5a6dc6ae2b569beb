"""Cores of its own for the server that is judged, where there are enough of them.

Publishers and players are woken thousands of times a second. On the server's core they push it
aside and out of the caches, more or less often as chance has it, and it pays for that: across a
network neither happens. (nginx with 1,000 players was pushed aside 1,274 times a second, and is so
55 times.)
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress


@contextmanager
def apart(judged: Sequence[int], others: Iterable[int]) -> Iterator[None]:
    """Keep the ``judged`` processes to as many cores, this one and ``others`` to the rest.

    So are all that are started from here within the block. Behind it each has its cores back.
    Nothing is done where no core would be left, or on a system that has no such calls.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if not 0 < len(judged) < len(cores):
        yield
        return
    own, rest = set(cores[: len(judged)]), set(cores[len(judged) :])
    moved = [*_keep_to(own, judged), *_keep_to(rest, [*others, os.getpid()])]
    try:
        yield
    finally:
        for thread, before in moved:
            with suppress(OSError):  # it has ended
                os.sched_setaffinity(thread, before)


def _keep_to(cores: set[int], pids: Iterable[int]) -> Iterator[tuple[int, set[int]]]:
    """Move processes to ``cores``; give each of their threads with the cores that it had."""
    for pid in pids:
        with suppress(OSError):  # it has ended, or is somebody else's
            for thread in map(int, os.listdir(f"/proc/{pid}/task")):
                before = os.sched_getaffinity(thread)
                os.sched_setaffinity(thread, cores)
                yield thread, before
