"""The command `headwater bench`."""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from common.errors import HeadwaterError

from .bench import Options
from .report import show, write
from .run import Plan, run
from .scenarios import SCENARIOS
from .scenarios.base import Scenario
from .servers.base import Server
from .servers.external import External
from .servers.nginx import Nginx, fetch_nginx
from .servers.nms import NodeMediaServer, fetch_nms

ALL: Final = "all"
RUNTIME_FAILURE: Final = 1
USAGE_ERROR: Final = 2
_WIDTH: Final = 140  # where there is no terminal
_NAMES: Final = "\n".join(f"  {each.name:<10} {each.summary}" for each in SCENARIOS.values())

_HELP: Final = f"""Measure Headwater beside other servers, and beside a raw send loop.

\b
Scenarios:
{_NAMES}
  {ALL:<10} the standard set: all of them, in under 15 minutes

Every trial starts its server anew, publishes in real time, lets real players in from processes of
their own, and reads the server's CPU, memory, descriptors and context switches from /proc.
Comparisons run in turn (A B C A B C) and give median and spread. Figures are for people to judge:
the exit code is 1 only when something was incorrect, such as a message that is missing.

\b
Examples:
  headwater bench fanout --players 200 --seconds 3 --repeats 1
  headwater bench adaptive join --no-peers
  headwater bench fanout --url rtmp://127.0.0.1:1935/live/bench --pid 4711
  headwater bench all --fetch --out tests/bench
"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(help=_HELP, no_args_is_help=True)
def bench(
    scenarios: Annotated[list[str], typer.Argument(metavar="SCENARIO...", show_default=False)],
    players: Annotated[
        int | None, typer.Option(min=1, help="Players (ingest: streams) instead of the usual.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=1, help="That each trial is measured for.")
    ] = None,
    repeats: Annotated[int | None, typer.Option(min=1, help="Rounds of each comparison.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="A setting of every Headwater."),
    ] = None,
    code: Annotated[
        Path | None,
        typer.Option(exists=True, help="What Headwater's nodes run, such as build/compiled."),
    ] = None,
    peers: Annotated[bool, typer.Option(help="Measure nginx and Node-Media-Server too.")] = True,
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Download peers that are not here (apt-get, npm).")
    ] = False,
    url: Annotated[
        str | None, typer.Option(help="A server that runs already: where to publish, and play.")
    ] = None,
    play_url: Annotated[str | None, typer.Option(help="Where to play, if elsewhere.")] = None,
    pid: Annotated[
        list[int] | None, typer.Option(help="Of its processes (and their children).")
    ] = None,
    flv: Annotated[
        Path | None, typer.Option(help="What to publish, H.264; by default one is made.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write RESULTS.md, RESULTS.json and plots here.")
    ] = None,
) -> None:
    """Run scenarios and report."""
    if code is not None and not (code / "common").is_dir():
        print(
            f"headwater bench: no code of Headwater in {code}; try make compiled", file=sys.stderr
        )
        raise typer.Exit(USAGE_ERROR)
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    options = Options(
        players=players, seconds=seconds, repeats=repeats, settings=tuple(set_ or ()), code=code
    )
    servers: list[Server] = [Nginx(), NodeMediaServer()] if peers else []
    try:
        if fetch:
            _fetch(servers, console)
        if url is not None:
            servers.append(External(url, tuple(pid or ()), play_url))
        plan = Plan(scenarios=_chosen(scenarios), options=options, peers=servers, flv=flv)
        report = run(plan, console)
    except HeadwaterError as error:
        print(f"headwater bench: {error}", file=sys.stderr)
        raise typer.Exit(RUNTIME_FAILURE) from error
    show(report, console)
    if out is not None:
        write(report, out)
    raise typer.Exit(RUNTIME_FAILURE if report.problems else 0)


def _chosen(names: list[str]) -> list[Scenario]:
    if ALL in names:
        return list(SCENARIOS.values())
    if unknown := [name for name in names if name not in SCENARIOS]:
        known = ", ".join([*SCENARIOS, ALL])
        print(f"headwater bench: no scenario {unknown[0]!r}; there are {known}", file=sys.stderr)
        raise typer.Exit(USAGE_ERROR)
    return [SCENARIOS[name] for name in names]


def _fetch(servers: list[Server], console: Console) -> None:
    fetchers = {"nginx": fetch_nginx, "node-media-server": fetch_nms}
    for server in servers:
        if server.missing():
            console.print(f"fetching {server.name} …")
            try:
                fetchers[server.name]()
            except HeadwaterError as error:  # the bench goes on without it, and says so
                console.print(str(error), style="yellow", markup=False)


def main() -> None:
    """Run the command line; never returns."""
    app(prog_name="headwater bench")
