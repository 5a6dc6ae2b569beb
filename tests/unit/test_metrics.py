import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from common import metrics
from common.metrics import CounterFeed, HistogramFeed, NodeMetrics, ReasonCounter
from common.net.connection import REFUSALS
from common.net.session import PUBLISHER_LOSSES
from edge.locate import LOOKUPS
from edge.pull import LOSSES
from origin.ownership import EVENTS

ROOT = Path(metrics.__file__).parents[1]
WORKER = """
import os, sys
from common import metrics
viewers, lag, limit = sys.argv[1:]
metrics.VIEWERS.labels("player").set(int(viewers))
metrics.VIEWER_LAG.set(float(lag))
metrics.OPEN_FILES_LIMIT.set(int(limit))
metrics.CounterFeed(metrics.BYTES_IN).set_total(100)
metrics.DISCONNECTS.inc("eof", kind="player")
flush = metrics.HistogramFeed(metrics.FLUSH_DURATION)
flush.observe(0.003)
flush.push()
print(os.getpid())
"""


def run_worker(folder: Path, viewers: int, lag: float, limit: int) -> int:
    """Run a process that leaves its figures in the folder; returns its pid."""
    done = subprocess.run(
        [sys.executable, "-c", WORKER, str(viewers), str(lag), str(limit)],
        env={**os.environ, metrics.MULTIPROC_ENV: str(folder)},
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    return int(done.stdout)


def samples(text: bytes) -> dict[str, float]:
    """Return every sample by its name and labels, as Prometheus itself would read them."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            name = f"{sample.name}{{{labels}}}" if labels else sample.name
            assert name not in found
            found[name] = sample.value
    return found


def test_figures_of_workers_are_added_up_and_the_dead_leave_the_gauges(tmp_path: Path) -> None:
    metrics.prepare(tmp_path)
    first = run_worker(tmp_path, viewers=3, lag=0.5, limit=1000)
    run_worker(tmp_path, viewers=4, lag=0.25, limit=900)
    both = samples(metrics.render(tmp_path))
    assert both["headwater_viewers{kind=player}"] == 7
    assert both["headwater_viewer_lag_seconds"] == 0.5
    assert both["headwater_open_files_limit"] == 900
    assert both["headwater_bytes_in_total"] == 200
    assert both["headwater_disconnects_total{kind=player,reason=eof}"] == 2
    assert both["headwater_flush_duration_seconds_count"] == 2
    assert both["headwater_flush_duration_seconds_bucket{le=0.002}"] == 0
    assert both["headwater_flush_duration_seconds_bucket{le=0.005}"] == 2

    metrics.mark_dead(first, tmp_path)
    left = samples(metrics.render(tmp_path))
    assert left["headwater_viewers{kind=player}"] == 4
    assert left["headwater_viewer_lag_seconds"] == 0.25
    assert left["headwater_bytes_in_total"] == 200

    metrics.prepare(tmp_path)
    assert samples(metrics.render(tmp_path)) == {}


def test_however_many_workers_end_their_counts_take_one_file_of_each_kind(tmp_path: Path) -> None:
    metrics.prepare(tmp_path)
    for _ in range(3):
        metrics.mark_dead(run_worker(tmp_path, viewers=1, lag=0, limit=1), tmp_path)
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["counter_ended.db", "histogram_ended.db"]
    left = samples(metrics.render(tmp_path))
    assert left["headwater_bytes_in_total"] == 300
    assert left["headwater_flush_duration_seconds_count"] == 3
    assert left["headwater_flush_duration_seconds_bucket{le=0.005}"] == 3
    assert left["headwater_flush_duration_seconds_sum"] == pytest.approx(0.009)


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"\x40\0\0\0\0\0\0\0\xff\xff\0\0"])
def test_a_file_that_a_killed_worker_left_half_written_is_cleared_away(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "counter_77.db").write_bytes(content)
    metrics.mark_dead(77, tmp_path)
    metrics.mark_dead(77, tmp_path)
    assert samples(metrics.render(tmp_path)) == {}


def test_the_folder_is_private(tmp_path: Path) -> None:
    metrics.prepare(tmp_path / "metrics")
    assert (tmp_path / "metrics").stat().st_mode & 0o777 == 0o700


def test_the_node_adds_what_the_supervisor_knows(tmp_path: Path) -> None:
    node = NodeMetrics(node="edge-1", role="edge", zone="z", version="1")
    node.ready = node.directory_up = True
    node.workers = {"ready": 2, "starting": 1}
    node.restarts["signal_9"] += 1
    found = samples(metrics.render(tmp_path, node))
    assert found == {
        "headwater_node_info{node=edge-1,role=edge,version=1,zone=z}": 1,
        "headwater_ready": 1,
        "headwater_directory_up": 1,
        "headwater_workers{state=ready}": 2,
        "headwater_workers{state=starting}": 1,
        "headwater_worker_restarts_total{reason=signal_9}": 1,
    }


def test_without_a_folder_the_metrics_of_this_process_are_shown() -> None:
    assert "headwater_streams" in samples(metrics.render(None))


def test_every_metric_is_ours_has_help_and_a_base_unit() -> None:
    for family in metrics.REGISTRY.collect():
        assert family.name.startswith("headwater_")
        assert family.documentation.endswith(".")
        assert not family.name.endswith(("_ms", "_kb", "_percent"))
        if family.type == "histogram":
            assert family.name.endswith("_seconds")


def test_a_counter_follows_a_running_total() -> None:
    registry = CollectorRegistry()
    feed = CounterFeed(Counter("c", "c", registry=registry))
    for total in (5, 5, 9):
        feed.set_total(total)
    assert registry.get_sample_value("c_total") == 9
    feed.set_total(2)  # began anew
    assert registry.get_sample_value("c_total") == 11


@given(st.lists(st.floats(min_value=0, max_value=10), max_size=20))
def test_a_histogram_feed_says_what_single_observations_would(values: list[float]) -> None:
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    buckets = (0.5, 1.0, 5.0)
    one_by_one = Histogram("h", "h", registry=theirs, buckets=buckets)
    feed = HistogramFeed(Histogram("h", "h", registry=ours, buckets=buckets))
    for value in values:
        one_by_one.observe(value)
        feed.observe(value)
    half = samples(generate_latest(ours))
    assert half["h_count"] == 0  # nothing before the push
    feed.push()
    feed.push()
    expected, found = samples(generate_latest(theirs)), samples(generate_latest(ours))
    for each in (expected, found):
        del each["h_created"]
    assert found.pop("h_sum") == pytest.approx(expected.pop("h_sum"))
    assert found == expected


def test_values_on_a_bound_belong_to_the_bucket_below() -> None:
    registry = CollectorRegistry()
    feed = HistogramFeed(Histogram("h", "h", registry=registry, buckets=(1.0, 2.0)))
    feed.observe(1.0)
    feed.push()
    assert registry.get_sample_value("h_bucket", {"le": "1.0"}) == 1


def test_reasons_are_bounded() -> None:
    registry = CollectorRegistry()
    counter = ReasonCounter(Counter("c", "c", ("reason",), registry=registry))

    def count(reason: str) -> float | None:
        return registry.get_sample_value("c_total", {"reason": reason})

    for number in range(metrics.MAX_REASONS + 5):
        counter.inc(f"reason_{number}")
    counter.inc("reason_0")
    counter.inc('evil"} 1\n')
    assert count("reason_0") == 2
    assert count(f"reason_{metrics.MAX_REASONS}") is None
    assert count("other") == 6


def test_counters_begin_at_0_with_the_words_that_are_known(tmp_path: Path) -> None:
    code = """
from common import metrics
metrics.begin(metrics.LEASE_EVENTS, "event", ("lost",))
metrics.RELAY_LOSSES.begin(("silent",))
"""
    environment = {**os.environ, metrics.MULTIPROC_ENV: str(tmp_path)}
    metrics.prepare(tmp_path)
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, cwd=ROOT)
    assert samples(metrics.render(tmp_path)).items() >= {
        ("headwater_lease_events_total{event=lost}", 0),
        ("headwater_relay_losses_total{reason=silent}", 0),
    }


@pytest.mark.parametrize(
    ("words", "counted", "sources"),
    [
        (REFUSALS, r'(?:Peer|ProxyHeader)Error\("(\w+)"', "common/net/*.py"),
        (LOSSES, r'RelayError\("(\w+)"', "common/relay/*.py"),
        (EVENTS, r'event="(\w+)"', "origin/*.py"),
        (LOOKUPS, r'result="(\w+)"', "edge/*.py"),
    ],
)
def test_words_that_are_counted_are_known_at_the_start(
    words: tuple[str, ...], counted: str, sources: str
) -> None:
    texts = "".join(file.read_text() for file in ROOT.glob(sources))
    found = set(re.findall(counted, texts)) - {"left"}  # a relay that we have left is no loss
    assert found
    assert found <= set(words)


def test_losses_of_publishers_are_reasons_that_there_are() -> None:
    folders = ("common/net", "common/rtmp")
    texts = "".join(file.read_text() for each in folders for file in (ROOT / each).glob("*.py"))
    beside_the_list = [word for word in PUBLISHER_LOSSES if texts.count(f'"{word}"') > 1]
    assert beside_the_list == list(PUBLISHER_LOSSES)


def test_every_metric_that_is_defined_is_fed() -> None:
    sources = [
        path.read_text()
        for folder in ("common", "origin", "edge")
        for path in (ROOT / folder).rglob("*.py")
        if path != Path(metrics.__file__)
    ]
    kinds = (Counter, Gauge, Histogram, metrics.ReasonCounter)
    defined = {name for name, value in vars(metrics).items() if isinstance(value, kinds)}
    fed = {name for name in defined if any(re.search(rf"\b{name}\b", text) for text in sources)}
    assert defined - fed == set()
    assert len(defined) > 20
