"""The lab's table, for people (Markdown) and machines (JSON)."""

import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from common.local.redis_server import find_server
from tests.failure.lab import Profile
from tests.failure.row import Row, Three

_ROOT: Final = Path(__file__).resolve().parents[2]

_COLUMNS: Final = (
    "scenario",
    "viewers lost",
    "gap of those p50 / max",
    "gap p50 / p99 / max",
    "fault → keyframe p50 / p99",
    "encoder back",
    "new source p99",
    "wrong route",
    "time back",
    "lost",
    "repeated",
    "two owners",
    "memory MiB",
    "",
)

_LEGEND: Final = """\
Times in ms. *Viewers lost*: disconnected, of all (*hit*: they were connected to what was
killed), and the longest pause until they played again. *Gap*: the longest pause between two
messages, of each other viewer concerned. *Fault → keyframe*: until the first keyframe that was sent
after the fault is at the viewer. *Encoder back*: from the fault until it was accepted anew (max).
*New source*: from its first keyframe sent to that keyframe at the viewer. *Wrong route*: from the
new publish until the last edge shows it. *Lost*, *repeated*: messages inside
a publish session that went on, over all viewers; nothing may be, except where a way was closed for
longer than the GOP that origins keep. *Two owners*: how long media of two sessions of
one stream reached viewers side by side. *Memory*: resident, all processes that lived through it,
before → after.
"""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A scenario that could not be run on this machine."""

    scenario: str
    title: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """A run of the lab."""

    rows: Sequence[Row]
    skipped: Sequence[Skipped]
    profile: Profile
    facts: dict[str, Any]  # what it was run on; see `machine`
    command: str
    again: Mapping[str, str] = field(default_factory=dict)
    """Scenarios that were run again later, each with the commit of that run."""

    def with_part(self, part: "Results") -> "Results":
        """Return these results with the rows of ``part`` in place of the same scenarios' own.

        Those of new scenarios come last.
        """
        newer = {row.scenario: row for row in part.rows}
        known = {row.scenario for row in self.rows}
        new = [row for row in part.rows if row.scenario not in known]
        return replace(
            self,
            rows=[newer.get(row.scenario, row) for row in self.rows] + new,
            again={**self.again, **dict.fromkeys(newer, part.facts["commit"])},
        )


def machine() -> dict[str, Any]:
    """Return what the figures were taken on."""
    return {
        "cores": os.cpu_count(),
        "cpu": _cpu_model(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "headwater": version("headwater"),
        "redis": _first_line(str(find_server()), "--version"),
        "commit": _first_line("git", "rev-parse", "--short", "HEAD"),
        "load_average": round(os.getloadavg()[0], 1),
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def as_json(results: Results) -> str:
    """Return everything that is known."""
    return json.dumps(
        {
            "command": results.command,
            "profile": results.profile.name,
            "streams": results.profile.streams,
            "viewers": results.profile.viewers,
            "machine": results.facts,
            "again": dict(results.again),
            "rows": [row.as_dict() for row in results.rows],
            "skipped": [asdict(each) for each in results.skipped],
        },
        indent=1,
    )


def from_json(text: str, profile: Profile) -> Results:
    """Return what `as_json` has written of a run with ``profile``."""
    told = json.loads(text)
    return Results(
        rows=[Row(**row) for row in told["rows"]],
        skipped=[Skipped(**each) for each in told["skipped"]],
        profile=profile,
        facts=told["machine"],
        command=told["command"],
        again=told["again"],
    )


def as_markdown(results: Results) -> str:
    """Return the table and how it was made."""
    profile, facts = results.profile, results.facts
    lines = [
        "# Failure lab: results",
        "",
        f"`{results.command}`: {profile.streams} streams, {profile.viewers} viewers,"
        f" {profile.edges} edges, {profile.origins} origins, {profile.workers} workers each.",
        "",
        f"{facts['cores']} cores of {facts['cpu']}, {facts['system']}, Python {facts['python']},"
        f" {facts['redis']}; Headwater {facts['headwater']} at {facts['commit']},"
        f" {facts['taken_at']}, load {facts['load_average']} from others at the start.",
        "",
        *table(results.rows),
        "",
        _LEGEND,
    ]
    if results.again:
        later = ", ".join(f"{name} (at {commit})" for name, commit in results.again.items())
        lines += [f"Run again later, alone: {later}.", ""]
    failed = [row for row in results.rows if row.problems or row.late]
    if failed:
        lines += ["## What did not hold", ""]
        lines += [f"* {row.scenario}: {'; '.join(row.problems + row.late)}" for row in failed]
        lines.append("")
    if results.skipped:
        lines += ["## What this machine cannot run", ""]
        lines += [f"* {each.title} ({each.scenario}): {each.reason}" for each in results.skipped]
        lines.append("")
    return "\n".join(lines)


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of the Markdown table."""
    yield f"| {' | '.join(_COLUMNS)} |"
    yield f"|---|{'---:|' * (len(_COLUMNS) - 2)}---|"
    for row in rows:
        yield f"| {' | '.join(cells(row))} |"


def cells(row: Row) -> list[str]:
    """Return a row's cells as text."""
    return [
        row.title,
        f"{row.disconnected} / {row.viewers}" + (f" ({row.victims} hit)" if row.victims else ""),
        _numbers(row.hit_gap_ms, "p50", "max"),
        _numbers(row.gap_ms, "p50", "p99", "max"),
        _numbers(row.fault_to_keyframe_ms, "p50", "p99"),
        _numbers(row.reconnect_ms, "max"),
        _numbers(row.new_source_ms, "p99"),
        "-" if row.wrong_route_ms is None else f"{row.wrong_route_ms:.0f}",
        str(row.back_ms),
        str(row.lost),
        str(row.repeated + row.stale),
        f"{row.overlap_ms:.0f}",
        f"{row.rss_mib[0]:.0f} → {row.rss_mib[1]:.0f}",
        "**fails**" if row.problems else "late" if row.late else "holds",
    ]


def _numbers(figures: Three, *names: str) -> str:
    return "-" if figures is None else " / ".join(f"{figures[name]:.0f}" for name in names)


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())


def _first_line(*command: str) -> str:
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).partition("\n")[0].strip()
