import json
from functools import partial
from io import StringIO
from pathlib import Path

from rich.console import Console

from tests.bench import plot
from tests.bench.report import Report, as_json, markdown, show, write
from tests.bench.result import Goal, Plot, Result, Table
from tests.bench.stats import Spread
from tests.support.bench_trials import trial


def report() -> Report:
    result = Result(
        scenario="fanout",
        title="Fan-out",
        tables=[Table(headings=("server", "CPU %"), rows=[("headwater", "20.0")])],
        goals=[Goal(text="CPU / nginx", value=Spread.of([0.4]), limit=0.5)],
        notes=["nginx: begins with AUDIO"],
        problems=["headwater: 1 players dropped: reset"],
        plots=[
            Plot(
                name="latency",
                caption="Latency",
                draw=partial(plot.latency_distribution, series={"headwater": [1.0, 2.0, 3.0]}),
            )
        ],
        trials=[trial()],
    )
    return Report(
        environment={"machine": "2 cores", "command": "headwater bench fanout"},
        clip="720p30",
        versions={"headwater": "headwater 0.1.0"},
        missing={"nginx": "apt-get install nginx"},
        results=[result],
    )


def test_the_page_says_where_what_and_how() -> None:
    page = markdown(report())
    for words in (
        "| command | headwater bench fanout |",
        "* nginx was not there: apt-get install nginx",
        "| CPU / nginx | 0.40 | 0.50 | met |",
        "| headwater | 20.0 |",
        "![Latency](results/latency.svg)",
        "* **FAILED**: headwater: 1 players dropped: reset",
    ):
        assert words in page


def test_json_holds_distributions_and_not_each_latency() -> None:
    (result,) = json.loads(json.dumps(as_json(report())))["results"]
    (one,) = result["trials"]
    assert one["met"]["latencies_ms"] == {"count": 3, "p50": 2.0, "p99": 3.0, "max": 3.0}
    assert one["usage"]["user"] == 5.0
    assert result["goals"][0]["met"] is True


def test_all_is_written_and_the_same_figures_give_the_same_plot(tmp_path: Path) -> None:
    write(report(), tmp_path)
    plotted = (tmp_path / "results/latency.svg").read_bytes()
    assert b"<svg" in plotted
    write(report(), tmp_path)
    assert (tmp_path / "results/latency.svg").read_bytes() == plotted
    assert (tmp_path / "RESULTS.md").read_text() == markdown(report())


def test_the_terminal_shows_tables_and_what_failed() -> None:
    out = StringIO()
    show(report(), Console(file=out, width=100))
    shown = out.getvalue()
    assert "headwater │  20.0" in shown
    assert "FAILED: fanout: headwater: 1 players dropped: reset" in shown
    assert "nginx is not here: apt-get install nginx" in shown
