"""Running the micro-benchmarks, and comparing them with the last release.

    python -m tests.bench.micro.compare [--seconds 1] [--save]

A figure is the least time of many rounds, which is what the code costs when nothing disturbs it.
Two machines differ by what the benchmark of the machine says, and each ratio is corrected by it.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

FOLDER: Final = Path(__file__).parent
BASELINE: Final = FOLDER / "baseline.json"
MACHINE: Final = "test_machine"

Times = Mapping[str, float]
"""Microseconds, by benchmark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One benchmark beside its baseline."""

    name: str
    us: float
    ratio: float | None  # None: it is new


def compare(now: Times, before: Times) -> list[Row]:
    """Return a row for each benchmark, as if both had been run on this machine."""
    machine = now[MACHINE] / before[MACHINE] if MACHINE in before else 1.0
    return [
        Row(
            name=name.removeprefix("test_"),
            us=us,
            ratio=us / before[name] / machine if name in before else None,
        )
        for name, us in now.items()
        if name != MACHINE
    ]


def main() -> None:
    """Run, print, save if told to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each benchmark")
    parser.add_argument("--save", action="store_true", help="write baseline.json: for a release")
    arguments = parser.parse_args()
    now = measure(arguments.seconds)
    baseline = json.loads(BASELINE.read_text()) if BASELINE.exists() else {"us": {}}
    _show(compare(now, baseline["us"]), baseline.get("headwater", "nothing yet"))
    if arguments.save:
        saved = {
            "headwater": version("headwater"),
            "python": platform.python_version(),
            "us": now,
        }
        BASELINE.write_text(json.dumps(saved, indent=2) + "\n")


def measure(seconds: float) -> dict[str, float]:
    """Run all benchmarks for so long each; return the least time of each."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder, "found.json")
        command = [
            *(sys.executable, "-m", "pytest", str(FOLDER), "-q", "-p", "no:cacheprovider"),
            *("--benchmark-enable", "--benchmark-only", "--benchmark-quiet"),
            *(f"--benchmark-max-time={seconds}", "--benchmark-warmup=on"),
            *("--benchmark-disable-gc", f"--benchmark-json={found}"),
        ]
        subprocess.run(command, check=True, stdout=subprocess.PIPE)
        benchmarks = json.loads(found.read_text())["benchmarks"]
    return {each["name"]: round(each["stats"]["min"] * 1e6, 2) for each in benchmarks}


def _show(rows: list[Row], release: str) -> None:
    table = Table("benchmark")
    table.add_column("us", justify="right")
    table.add_column(f"ratio to {release}", justify="right")
    for row in rows:
        ratio = "new" if row.ratio is None else f"{row.ratio:.2f}"
        table.add_row(row.name, f"{row.us:,.1f}", ratio)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
