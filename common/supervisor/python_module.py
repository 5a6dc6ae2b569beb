"""Starting our own modules as processes."""

import os
import sys
from pathlib import Path

import common

_ROOT = Path(common.__file__).resolve().parents[1]


def module_command(module: str, *arguments: str) -> list[str]:
    """Return the command line that runs ``module`` with this interpreter.

    ``-P`` keeps the working directory off the import path: a folder there that happens to be
    called ``common`` or ``edge`` must not take the place of ours.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def module_environment(*, code: Path | None = None, **extra: str) -> dict[str, str]:
    """Return an environment in which a child imports the very code that runs here, or ``code``."""
    path = [str(code.resolve() if code else _ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), **extra}
