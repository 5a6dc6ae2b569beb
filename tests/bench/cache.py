"""Where the bench keeps what it has fetched and built."""

import os
from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).resolve().parent


def cache_folder(name: str) -> Path:
    """Return a folder: beside this code in a checkout (git ignores it), else the user's cache."""
    if (_HERE.parents[1] / "pyproject.toml").exists():
        return _HERE / ".cache" / name
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "headwater-bench", name)
