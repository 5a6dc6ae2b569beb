"""What the rig tells while it runs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic


def say(words: str) -> None:
    """Write a line for people, at once."""
    sys.stdout.write(f"cluster-test: {words}\n")
    sys.stdout.flush()


@contextmanager
def told_time(what: str) -> Iterator[None]:
    """Say how long the block took."""
    began = monotonic()
    yield
    say(f"{what}, {monotonic() - began:.0f} s")
