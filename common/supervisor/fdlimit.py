"""The limit of open files, which is a limit of connections."""

import resource


def raise_fd_limit() -> int:
    """Raise the soft limit of open files to the hard one; return what is in force.

    Container runtimes differ in what they hand down: a soft limit of 1024 is common, and it would
    end an edge at a thousand viewers.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):  # macOS says unlimited and refuses it
        return soft
    return hard
