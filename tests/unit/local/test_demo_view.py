from io import StringIO

import pytest
from rich.console import Console

from common.local.demo_figures import DemoFigures, EdgeFigures, OriginFigures
from common.local.demo_view import PLAIN_EVERY_S, PlainView, plain, tables

EDGE = EdgeFigures(
    name="edge-1-ab12",
    frames=123_456,
    bitrate_bps=1_234_567,
    first_frame_s=0.0123,
    latency_p50_s=0.0011,
    latency_p99_s=0.1,
    viewers=2,
    relays=1,
)
ORIGIN = OriginFigures(name="origin-1-ab12", publishers=1, relays=2)


def figures(elapsed_s: float = 61.0) -> DemoFigures:
    unknown = (EdgeFigures(name="edge-2-ab12"), OriginFigures(name="origin-2-ab12"))
    return DemoFigures(elapsed_s=elapsed_s, edges=(EDGE, unknown[0]), origins=(ORIGIN, unknown[1]))


def test_a_plain_line_says_everything() -> None:
    assert plain(figures()) == (
        " 61 s"
        " | edge-1-ab12: viewers 2, relays 1, frames 123456, errors 0, 1.23 Mbit/s,"
        " first frame 12.3 ms, latency p50 1.1 ms p99 100.0 ms"
        " | edge-2-ab12: viewers -, relays -, frames 0, errors 0, 0.00 Mbit/s,"
        " first frame - ms, latency p50 - ms p99 - ms"
        " | origin-1-ab12: publishers 1, relays 2"
        " | origin-2-ab12: publishers -, relays -"
    )


def test_the_tables_fit_into_80_columns() -> None:
    console = Console(file=StringIO(), width=80)
    with console.capture() as capture:
        console.print(tables(figures()))
    text = capture.get()
    for words in ("edge-1-ab12", "123456", "first ms", "100.0", "origin-1-ab12", "relays to edges"):
        assert words in text
    assert "…" not in text


def test_plain_lines_come_every_few_seconds_and_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with PlainView() as view:
        for elapsed_s in (0.0, 1.0, PLAIN_EVERY_S, PLAIN_EVERY_S + 1):
            view.show(figures(elapsed_s))
        view.show(figures(PLAIN_EVERY_S + 2), last=True)
        view.log("a node speaks")
    out, err = capsys.readouterr()
    assert [line[:5] for line in out.splitlines()] == ["  0 s", "  3 s", "  5 s"]
    assert err == "a node speaks\n"
