"""Running scenarios, with progress."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from .bench import Bench, Options
from .clip import Clip, ClipFile, default_clip
from .environment import environment
from .report import Report
from .result import Result
from .scenarios.base import Scenario
from .servers.base import Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be run."""

    scenarios: Sequence[Scenario]
    options: Options
    peers: Sequence[Server] = field(default_factory=list)
    flv: Path | None = None


def run(plan: Plan, console: Console) -> Report:
    """Run the scenarios, showing how they get on. Raises `HeadwaterError` for a bad FLV."""
    place = environment()  # before we are what loads the machine
    file = default_clip() if plan.flv is None else ClipFile(path=plan.flv, origin=plan.flv.name)
    clip = Clip.load(file.path)
    missing = {peer.name: peer.missing() for peer in plan.peers if peer.missing()}
    with _progress(console) as progress:
        task = progress.add_task("", total=len(plan.scenarios), text="")
        bench = Bench(
            options=plan.options,
            clip=clip,
            clip_file=file,
            peers=[peer for peer in plan.peers if peer.name not in missing],
            say=lambda text: progress.update(task, text=text),
        )
        results = asyncio.run(
            _run_all(plan.scenarios, bench, lambda name: _next(progress, task, name))
        )
    return Report(
        environment=place,
        clip=f"{file.origin}, {clip.kbps:,.0f} kbit/s, {clip.messages_per_s:.0f} messages/s",
        versions=bench.versions,
        missing=missing,
        results=results,
    )


async def _run_all(
    scenarios: Sequence[Scenario], bench: Bench, begin: Callable[[str], None]
) -> list[Result]:
    results = []
    for scenario in scenarios:
        begin(scenario.name)
        result = Result(scenario=scenario.name, title=scenario.title)
        await scenario.run(bench, result)
        results.append(result)
    begin("done")
    return results


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[text]}", markup=False),
        console=console,
        transient=True,
    )


def _next(progress: Progress, task: TaskID, name: str) -> None:
    if not progress.console.is_terminal:  # which shows no progress
        progress.console.print(f"{name} …")
    first = not progress.tasks[0].description
    progress.update(task, description=name, advance=0 if first else 1)
