"""Where a bench was run: what one must know to compare its figures with others."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).parents[2]
_KIB_PER_GIB: Final = 1 << 20


def environment() -> dict[str, str]:
    """Return the facts, each with its name."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": f"{os.cpu_count()} cores of {_cpu()}, {_memory_gib()} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "headwater": f"{version('headwater')} ({_commit()})",
        "Python": f"{platform.python_version()}, uvloop {version('uvloop')}",
        "load before": f"{os.getloadavg()[0]:.2f}",
        "command": " ".join(["headwater bench", *sys.argv[1:]]),
    }


def _commit() -> str:
    command = ["git", "-C", str(_ROOT), "describe", "--always", "--dirty", "--abbrev=9"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "not from a checkout"


def _cpu() -> str:
    names = _lines("/proc/cpuinfo", "model name")
    return names[0] if names else platform.machine()


def _memory_gib() -> int:
    totals = _lines("/proc/meminfo", "MemTotal")
    return round(int(totals[0].split()[0]) / _KIB_PER_GIB) if totals else 0


def _lines(path: str, name: str) -> list[str]:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return []
    return [line.partition(":")[2].strip() for line in lines if line.startswith(name)]
