"""Cores of its own for the server that is judged, where there are enough of them.

Publishers and players are woken thousands of times a second. On the server's core they push it
aside and out of the caches, more or less often as chance has it, and it pays for that: across a
network neither happens. nginx with 1,000 players was pushed aside 1,200 times a second, and is so
9 times since.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from .proc import with_children


@contextmanager
def apart(judged: Sequence[int], others: Iterable[int] = ()) -> Iterator[bool]:
    """Keep the ``judged`` processes to as many cores, and all else of the bench to the rest.

    That is this process, what descends from it and ``others``, and what they start within the
    block. Yields whether it was done: not where no core would be left, or on a system that has no
    such calls. All of them must be ours: behind the block they have the cores of this process.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if not 0 < len(judged) < len(cores):
        yield False
        return
    rest = {*with_children(os.getpid()), *others}.difference(judged)
    _keep_to(set(cores[: len(judged)]), judged)
    _keep_to(set(cores[len(judged) :]), rest)
    try:
        yield True
    finally:
        _keep_to(set(cores), {*judged, *rest})


def _keep_to(cores: set[int], pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(FileNotFoundError):  # it has ended
            for thread in os.listdir(f"/proc/{pid}/task"):
                with suppress(ProcessLookupError):  # this one has
                    os.sched_setaffinity(int(thread), cores)
