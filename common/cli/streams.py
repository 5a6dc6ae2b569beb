"""`headwater streams`: what is live in the cluster, as a table or as JSON."""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from typing import Final

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from common.cli.stream_rows import StreamRow, build_rows
from common.cluster.directory import Directory
from common.errors import DirectoryUnavailable
from common.logs import clean

REFRESH_S: Final = 2.0
UNWRAPPED_COLUMNS: Final = 400


async def fetch_rows(directory: Directory) -> list[StreamRow]:
    """Return a row for each live stream. Raises `DirectoryUnavailable`."""
    routes, nodes, loads = await asyncio.gather(
        directory.routes(), directory.nodes(), directory.loads()
    )
    return build_rows(routes, nodes, loads, time.time())


async def show_streams(directory: Directory, *, as_json: bool) -> None:
    """Print the live streams once. Raises `DirectoryUnavailable`."""
    rows = await fetch_rows(directory)
    if as_json:
        print(rows_as_json(rows, indent=2))
    else:
        # Into a pipe or file nothing is wrapped: there is no edge of a screen.
        width = None if sys.stdout.isatty() else UNWRAPPED_COLUMNS
        Console(width=width).print(table(rows))


async def watch_streams(directory: Directory, *, as_json: bool) -> None:
    """Print the live streams again and again until cancelled: JSON by line, or one live table.

    While the routing table cannot be reached, it says so and keeps trying.
    """
    if as_json:
        while True:
            try:
                print(rows_as_json(await fetch_rows(directory)), flush=True)
            except DirectoryUnavailable as error:
                print(f"headwater: {error}", file=sys.stderr)
            await asyncio.sleep(REFRESH_S)
    with Live(auto_refresh=False) as live:
        while True:
            try:
                shown: Table | Text = table(await fetch_rows(directory))
            except DirectoryUnavailable as error:
                shown = Text(clean(str(error)), style="red")
            live.update(shown, refresh=True)
            await asyncio.sleep(REFRESH_S)


def rows_as_json(rows: Sequence[StreamRow], indent: int | None = None) -> str:
    """Return the rows as a JSON object, ``{"streams": [...]}``."""
    return json.dumps({"streams": [row.as_dict() for row in rows]}, indent=indent)


def table(rows: Sequence[StreamRow]) -> Table:
    """Return the rows as a table that fits a terminal of 80 columns: two facts in some cells."""
    shown = Table(box=box.SIMPLE_HEAD, caption=f"{len(rows)} live", caption_justify="left")
    for heading in ("Stream\nCodecs", "Origin\nEpoch", "Publisher\nEncoder", "Edges"):
        shown.add_column(heading, overflow="fold")
    for heading in ("Viewers", "Bitrate", "Age"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        shown.add_row(
            _cell(row.stream, " ".join(row.codecs)),
            _cell(_placed(row.origin, row.zone), str(row.epoch)),
            _cell(row.publisher, row.encoder, *standbys(row.standbys)),
            _cell(*map(_placed, row.edges, row.edge_zones)),
            str(row.viewers),
            bitrate(row.bitrate_bps),
            duration(row.age_s),
        )
    return shown


def _cell(*lines: str) -> Text:
    # Peers choose names and encoders: neither rich's markup nor terminal codes may come through.
    return Text("\n".join(clean(line) for line in lines))


def _placed(node: str, zone: str) -> str:
    return f"{node} @{zone}" if zone else node


def standbys(count: int) -> list[str]:
    """Return the line that says how many publishers stand by, if any do."""
    return [f"+{count} on standby"] if count else []


def bitrate(bits_per_s: int) -> str:
    """Return a bit rate for people; a dash where it is not known."""
    if bits_per_s <= 0:
        return "-"
    if bits_per_s < 1_000_000:
        return f"{bits_per_s / 1000:.0f} kbit/s"
    return f"{bits_per_s / 1_000_000:.1f} Mbit/s"


def duration(seconds: float) -> str:
    """Return a duration for people: 12s, 3m05s, 2h07m, 4d03h."""
    whole = int(seconds)
    for unit, size, smaller, smaller_size in (
        ("d", 86_400, "h", 3600),
        ("h", 3600, "m", 60),
        ("m", 60, "s", 1),
    ):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // smaller_size:02d}{smaller}"
    return f"{whole}s"
