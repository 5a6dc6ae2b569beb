"""How the demo looks: a live table on a terminal, plain lines elsewhere."""

import sys
from types import TracebackType
from typing import Final, Protocol

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from common.local.cluster import LocalCluster, to_stderr
from common.local.demo_figures import DemoFigures, EdgeFigures, OriginFigures
from common.logs import redact

PLAIN_EVERY_S: Final = 3.0

# With these all of it fits into 80 columns. "first" is the first-frame time, p50 and p99 are of the
# latency from encoder to player.
_EDGE_HEADINGS: Final = (
    *("viewers", "relays", "frames", "errors", "Mbit/s"),
    *("first ms", "p50 ms", "p99 ms"),
)


class View(Protocol):
    """Where the demo shows what it has to say. Used as a context."""

    def __enter__(self) -> "View":
        """Begin to show."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End: what stands there stays."""
        ...

    def say(self, line: str) -> None:
        """Show a line for good."""
        ...

    def log(self, line: str) -> None:
        """Show a line that a node logged."""
        ...

    def show(self, figures: DemoFigures, *, last: bool = False) -> None:
        """Show the present figures; the ``last`` ones are shown in any case."""
        ...


def make_view() -> View:
    """Return the view that suits standard output."""
    return LiveView() if sys.stdout.isatty() else PlainView()


class LiveView:
    """A table that is drawn anew each round, under the lines that scroll."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        # Drawn when there is something new, and not by a thread of its own in between: a table
        # in the making delays the players in this process, whose latency is being measured.
        self._live = Live(console=self._console, auto_refresh=False)

    def __enter__(self) -> "LiveView":
        """Take the terminal over."""
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the terminal back."""
        self._live.stop()

    def say(self, line: str) -> None:
        """Print above the table."""
        self._console.print(Text(line), soft_wrap=True)

    def log(self, line: str) -> None:
        """Print above the table, dimmed."""
        self._console.print(Text(line, style="dim"), soft_wrap=True)

    def show(self, figures: DemoFigures, *, last: bool = False) -> None:
        """Draw the tables."""
        self._live.update(tables(figures), refresh=True)


class PlainView:
    """A line every few seconds, for pipes and logs."""

    def __init__(self) -> None:
        self._next_at = 0.0

    def __enter__(self) -> "PlainView":
        """Nothing to prepare."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing to restore."""

    def say(self, line: str) -> None:
        """Print the line."""
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def log(self, line: str) -> None:
        """Print it where logs belong."""
        to_stderr(line)

    def show(self, figures: DemoFigures, *, last: bool = False) -> None:
        """Print the figures if the last ones are old."""
        if last or figures.elapsed_s >= self._next_at:
            self._next_at = figures.elapsed_s + PLAIN_EVERY_S
            self.say(plain(figures))


def tables(figures: DemoFigures) -> Group:
    """Return the figures as two tables."""
    edges = _table("edge", *_EDGE_HEADINGS)
    edges.title = f"after {figures.elapsed_s:.0f} s"
    for edge in figures.edges:
        edges.add_row(edge.name, *_edge_cells(edge))
    origins = _table("origin", "publishers", "relays to edges")
    for origin in figures.origins:
        origins.add_row(origin.name, _count(origin.publishers), _count(origin.relays))
    return Group(edges, origins)


def plain(figures: DemoFigures) -> str:
    """Return the figures as one line."""
    parts = [f"{figures.elapsed_s:3.0f} s"]
    parts += [_edge_text(edge) for edge in figures.edges]
    parts += [_origin_text(origin) for origin in figures.origins]
    return " | ".join(parts)


def introduction(cluster: LocalCluster, url: str, watch_urls: list[str]) -> list[str]:
    """Return the lines that tell what runs where, and what to try."""
    lines = [f"redis     {redact(cluster.redis_url)}"]
    for node in cluster.nodes:
        info = node.info
        lines.append(f"{info.id:<9} rtmp://{info.rtmp}   admin http://{info.admin}/status")
    origin, edge = cluster.origins[-1].info.rtmp, cluster.edges[0].info.rtmp
    return [
        *lines,
        "",
        f"test picture        {url}",
        *(f"watch it            ffplay {watch} (or open it in VLC)" for watch in watch_urls),
        f"publish with OBS    server rtmp://{origin}/live   stream key mine",
        f"and watch that      ffplay rtmp://{edge}/live/mine",
        f"all live streams    headwater streams --redis {redact(cluster.redis_url)}",
        "end with Ctrl-C",
        "",
    ]


def _table(first: str, *numbers: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=0, title_justify="left")
    table.add_column(first)
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _edge_cells(edge: EdgeFigures) -> list[str]:
    return [
        _count(edge.viewers),
        _count(edge.relays),
        str(edge.frames),
        str(edge.errors),
        f"{edge.bitrate_bps / 1e6:.2f}",
        _milliseconds(edge.first_frame_s),
        _milliseconds(edge.latency_p50_s),
        _milliseconds(edge.latency_p99_s),
    ]


def _edge_text(edge: EdgeFigures) -> str:
    viewers, relays, frames, errors, megabits, first, p50, p99 = _edge_cells(edge)
    return (
        f"{edge.name}: viewers {viewers}, relays {relays}, frames {frames}, errors {errors},"
        f" {megabits} Mbit/s, first frame {first} ms, latency p50 {p50} ms p99 {p99} ms"
    )


def _origin_text(origin: OriginFigures) -> str:
    publishers, relays = _count(origin.publishers), _count(origin.relays)
    return f"{origin.name}: publishers {publishers}, relays {relays}"


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f}"
