"""What a bench prints and writes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from .result import GOAL_HEADINGS, Result, Table
from .trial import Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The results of a run, and where they were measured."""

    environment: Mapping[str, str]
    clip: str
    versions: Mapping[str, str]
    missing: Mapping[str, str]  # peers that are not here, and how to get them
    results: Sequence[Result] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """What was incorrect."""
        return [f"{each.scenario}: {problem}" for each in self.results for problem in each.problems]


def show(report: Report, console: Console) -> None:
    """Print everything."""
    for name, how in report.missing.items():
        console.print(f"{name} is not here: {how}", style="yellow", markup=False)
    for result in report.results:
        console.print(f"\n{result.title}", style="bold", markup=False)
        for table in [*result.tables, *_goal_tables(result)]:
            console.print(_rich(table))
        for note in result.notes:
            console.print(f"  {note}", style="dim", markup=False)
    for problem in report.problems:
        console.print(f"FAILED: {problem}", style="red", markup=False)


def write(report: Report, folder: Path) -> None:
    """Write RESULTS.md, RESULTS.json and results/*.svg."""
    plots = folder / "results"
    plots.mkdir(parents=True, exist_ok=True)
    for result in report.results:
        for plot in result.plots:
            plot.draw(plots / f"{plot.name}.svg")
    (folder / "RESULTS.md").write_text(markdown(report))
    (folder / "RESULTS.json").write_text(json.dumps(as_json(report), indent=1) + "\n")


def markdown(report: Report) -> str:
    """Return the report as a page."""
    facts = [f"| {name} | {value} |" for name, value in report.environment.items()]
    facts.append(f"| stream | {report.clip} |")
    servers = [f"* {version}" for version in dict.fromkeys(report.versions.values())]
    absent = [f"* {name} was not there: {how}" for name, how in report.missing.items()]
    parts = [
        "# Results of the bench",
        "Written by `make bench`. What is measured, and how: [README.md](README.md). Publishers,"
        " servers and players share one machine: only ratios of one run count. Repeated figures:"
        " median (least..greatest).",
        "\n".join(["| | |", "|---|---|", *facts]),
        "\n".join(servers + absent),
    ]
    for result in report.results:
        parts += _markdown_of(result)
    return "\n\n".join(filter(None, parts)) + "\n"


def as_json(report: Report) -> dict[str, Any]:
    """Return everything but each single latency."""
    return {
        "environment": dict(report.environment),
        "clip": report.clip,
        "versions": dict(report.versions),
        "missing": dict(report.missing),
        "results": [
            {
                "scenario": result.scenario,
                "title": result.title,
                "goals": [asdict(goal) | {"met": goal.met} for goal in result.goals],
                "tables": [asdict(table) for table in result.tables],
                "notes": result.notes,
                "problems": result.problems,
                "trials": [_trial(each) for each in result.trials],
            }
            for result in report.results
        ],
    }


def _trial(trial: Trial) -> dict[str, Any]:
    facts = asdict(trial)
    for name, met in (("met", trial.met), ("joined", trial.joined)):
        facts[name]["latencies_ms"] = met.latency and asdict(met.latency)
        facts[name]["first_keyframe_ms"] = met.first_keyframe and asdict(met.first_keyframe)
    return facts


def _goal_tables(result: Result) -> list[Table]:
    rows = [goal.row for goal in result.goals]
    return [Table(headings=GOAL_HEADINGS, rows=rows)] if rows else []


def _markdown_of(result: Result) -> list[str]:
    tables = [_markdown_table(each) for each in [*_goal_tables(result), *result.tables]]
    plots = [f"![{plot.caption}](results/{plot.name}.svg)" for plot in result.plots]
    notes = [f"* {note}" for note in result.notes]
    problems = [f"* **FAILED**: {problem}" for problem in result.problems]
    return [f"## {result.title}", *tables, *plots, "\n".join(notes + problems)]


def _markdown_table(table: Table) -> str:
    ruler = ["---", *("---:" for _ in table.headings[1:])]
    lines = [table.headings, ruler, *table.rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _rich(table: Table) -> RichTable:
    drawn = RichTable()
    for number, heading in enumerate(table.headings):
        drawn.add_column(heading, justify="right" if number else "left", no_wrap=not number)
    for row in table.rows:
        drawn.add_row(*row)
    return drawn
