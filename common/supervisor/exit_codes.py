"""What the exit code of a worker or a node means."""

import signal
from enum import IntEnum
from typing import Final


class ExitCode(IntEnum):
    """The vocabulary of endings. Negative numbers are signals, as in `subprocess`."""

    OK = 0
    """Asked to end, and did."""
    CRASHED = 1
    """An exception that nobody expected; Python's own code for it."""
    USAGE = 2
    """Called wrongly, for example a worker started by hand."""
    GAVE_UP = 3
    """A node none of whose workers stayed well, however often they were replaced."""
    COULD_NOT_BOOT = 4
    """What starting again would not cure: a port in use, a setting that does not fit the host."""
    ORPHANED = 5
    """A worker whose supervisor has gone."""


def describe_exit(code: int) -> str:
    """Return a short stable word for an exit: for log fields and metric labels."""
    if code < 0:
        return f"signal_{-code}"
    if code in ExitCode.__members__.values():
        return ExitCode(code).name.lower()
    return f"exit_{code}"


REPLACED: Final = tuple(
    describe_exit(code)
    for code in (
        *(ExitCode.OK, ExitCode.CRASHED, ExitCode.COULD_NOT_BOOT, ExitCode.ORPHANED),
        *(-signal.SIGABRT, -signal.SIGKILL, -signal.SIGSEGV, -signal.SIGBUS, -signal.SIGTERM),
    )
)
"""How workers end that are replaced, as far as we know."""
