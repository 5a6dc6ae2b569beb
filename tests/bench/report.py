"""What a bench prints: figures beside their targets, and where they were measured."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured value; ``below`` is its target, where it has one."""

    name: str
    value: float | None
    unit: str
    below: float | None = None

    @property
    def verdict(self) -> str:
        """Whether the target is met: a figure is judged by people, never by an exit code."""
        if self.below is None or self.value is None:
            return ""
        return "met" if self.value < self.below else "MISSED"


def report(
    bench: str,
    figures: Sequence[Figure],
    failures: Sequence[str],
    details: dict[str, Any],
    json_path: Path | None,
) -> int:
    """Print the table, write the JSON; return the exit code: 1 when something was incorrect."""
    place = environment()
    table = Table()
    table.add_column("figure")
    for heading in ("value", "unit", "target", ""):
        table.add_column(heading, justify="right" if heading == "value" else "left")
    for figure in figures:
        value = "-" if figure.value is None else f"{figure.value:,.4g}"
        target = "" if figure.below is None else f"< {figure.below:g}"
        table.add_row(figure.name, value, figure.unit, target, figure.verdict)
    console = Console(width=110, highlight=False)
    console.print(f"{bench}\n{place['cpu']}, {place['cores']} cores, {place['system']},")
    console.print(f"Python {place['python']}, uvloop {place['uvloop']}, {place['commit']}")
    console.print(table)
    for failure in failures:
        console.print(f"FAILED: {failure}", style="red", markup=False)
    if json_path is not None:
        result = {
            "bench": bench,
            "environment": place,
            "figures": [asdict(each) for each in figures],
            "failures": list(failures),
            "details": details,
        }
        json_path.write_text(json.dumps(result, indent=2) + "\n")
    return 1 if failures else 0


def environment() -> dict[str, Any]:
    """Return what one must know to compare the figures with others."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "headwater": version("headwater"),
        "uvloop": version("uvloop"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "command": " ".join(sys.argv),
    }


def _commit() -> str:
    command = ["git", "-C", str(_ROOT), "describe", "--always", "--dirty", "--abbrev=9"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
