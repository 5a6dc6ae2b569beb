"""Every metric of Headwater, and how figures get from a worker's hot path to a scrape.

Workers share their figures through files in the node's metrics folder (prometheus-client's
multi-process mode), and the supervisor answers the scrape by adding them up. Rules that follow:

* `MULTIPROC_ENV` stands in a worker's environment before prometheus_client is imported; the
  supervisor spawns workers with it. Without it (unit tests) the metrics live in this process.
* The supervisor empties the folder at its start (`prepare`) and reports dead workers
  (`mark_dead`), which drops their gauges and keeps their counts: totals never go back.
* Gauges name how workers are merged: a live sum, maximum or minimum.
* Counters begin at 0 with the words that are known (`begin`): what is born with its first burst has
  not grown, as Prometheus sees it, and no alert would tell.
* No process or platform collectors: they would describe one process and be read as all.

Hot paths never touch these objects. They count in plain integers, which a task of the worker
hands over once a second: `CounterFeed` for totals, `HistogramFeed` for distributions.
"""

import re
import struct
from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

MULTIPROC_ENV: Final = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
MAX_REASONS: Final = 64
"""Distinct reasons per metric and worker; further ones are counted as "other"."""

REGISTRY: Final = CollectorRegistry()
"""The metrics of this process; a scrape reads it only where there is no metrics folder."""

_FAST: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_START: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0)
_REASON: Final = re.compile(r"[a-z0-9_]{1,64}")


def _gauge(
    name: str,
    help_text: str,
    labels: tuple[str, ...] = (),
    mode: Literal["livesum", "livemax", "livemin"] = "livesum",
) -> Gauge:
    return Gauge(f"headwater_{name}", help_text, labels, registry=REGISTRY, multiprocess_mode=mode)


def _counter(name: str, help_text: str, labels: tuple[str, ...] = ()) -> Counter:
    return Counter(f"headwater_{name}", help_text, labels, registry=REGISTRY)


def _histogram(
    name: str, help_text: str, buckets: tuple[float, ...], labels: tuple[str, ...] = ()
) -> Histogram:
    return Histogram(f"headwater_{name}", help_text, labels, registry=REGISTRY, buckets=buckets)


class CounterFeed:
    """Feeds a counter from a running total that the hot path keeps as a plain integer."""

    __slots__ = ("_counter", "_total")

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._total = 0

    def set_total(self, total: int) -> None:
        """Add what came since the last call; a smaller total than before began anew at 0."""
        delta = total - self._total if total >= self._total else total
        self._total = total
        if delta:
            self._counter.inc(delta)


class HistogramFeed:
    """Collects observations in plain integers until `push` hands them over, all at once."""

    __slots__ = ("_bounds", "_counts", "_histogram", "_sum")

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._bounds = histogram._upper_bounds  # ends with +Inf
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Take note of one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def push(self) -> None:
        """Hand over what came since the last call."""
        if not any(self._counts):
            return
        # The client has no call that adds many observations at once, and one call for each
        # would cost more than the flush it describes. A test compares the result with theirs.
        self._histogram._sum.inc(self._sum)
        for bucket, count in zip(self._histogram._buckets, self._counts, strict=True):
            if count:
                bucket.inc(count)
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0


def begin(counter: Counter, label: str, words: Iterable[str]) -> None:
    """Have a series at 0 for each of ``words``, before there is anything to count."""
    for word in words:
        counter.labels(**{label: word})


class ReasonCounter:
    """A counter by reason whose number of series is bounded, whatever reasons come.

    Reasons are short stable words. One that is not, and each beyond `MAX_REASONS`, is "other".
    """

    def __init__(self, counter: Counter) -> None:
        self.counter = counter
        self._seen: set[str] = set()

    def begin(self, reasons: Iterable[str], **labels: str) -> None:
        """Have a series at 0 for each of ``reasons``, before there is anything to count."""
        for reason in reasons:
            self.counter.labels(reason=self._bounded(reason), **labels)

    def inc(self, reason: str, **labels: str) -> None:
        """Count one event for ``reason``; ``labels`` are the metric's other labels."""
        self.counter.labels(reason=self._bounded(reason), **labels).inc()

    def _bounded(self, reason: str) -> str:
        if reason in self._seen:
            return reason
        if len(self._seen) >= MAX_REASONS or not _REASON.fullmatch(reason):
            return "other"
        self._seen.add(reason)
        return reason


STREAMS = _gauge("streams", "Streams that workers hold; an edge counts one per worker.")
PUBLISHERS = _gauge("publishers", "Connected publishers.")
STANDBY_PUBLISHERS = _gauge(
    "standby_publishers", "Publishers on standby, which no publisher of headwater_publishers is."
)
VIEWERS = _gauge(
    "viewers",
    "Viewers, by kind: player, relay (another node), sibling (another worker).",
    ("kind",),
)
CONNECTIONS = _gauge("connections", "Open RTMP connections of all kinds.")

BYTES_IN = _counter("bytes_in_total", "Bytes received over RTMP.")
BYTES_OUT = _counter("bytes_out_total", "Bytes handed to the kernel for RTMP peers.")
MESSAGES_IN = _counter("messages_in_total", "Media messages received, by type.", ("type",))
MESSAGES_OUT = _counter(
    "messages_out_total", "Media messages written, counted once per viewer, by type.", ("type",)
)
MESSAGES_REFUSED = ReasonCounter(
    _counter(
        "messages_refused_total", "Media messages that were broken: not forwarded.", ("reason",)
    )
)

CONNECTIONS_REFUSED = ReasonCounter(
    _counter("connections_refused_total", "Connections refused before any use.", ("reason",))
)
DISCONNECTS = ReasonCounter(
    _counter("disconnects_total", "Connections ended, by kind and reason.", ("kind", "reason"))
)

VIEWER_LAG = _gauge(
    "viewer_lag_seconds", "Media that the viewer furthest behind has not taken.", mode="livemax"
)
LAGGING_VIEWERS = _gauge("lagging_viewers", "Viewers that wait for a keyframe to catch up.")
SKIPPED_GOPS = _counter("skipped_gops_total", "Skips to a keyframe of viewers that were behind.")

RELAYS = _gauge(
    "relays",
    "Upstream relays, by state and by what they come from: "
    "origin, zone (an edge of the same zone), sibling (another worker), none yet.",
    ("state", "source"),
)
RELAY_LOSSES = ReasonCounter(
    _counter("relay_losses_total", "Upstream relays that ended, by reason.", ("reason",))
)
RELAY_ROUND_TRIP = _histogram(
    "relay_round_trip_seconds",
    "Round trip of a ping that queues behind the media of a relay: "
    "an upper bound of the delay between origin and edge.",
    _FAST,
)
PUBLISH_TO_EDGE = _histogram(
    "publish_to_edge_seconds",
    "Delay of media from origin to edge, estimated as half a round trip of its relay.",
    _FAST,
)

ROUTE_LOOKUPS = _counter(
    "route_lookups_total",
    "Look-ups of streams, by result: hit, miss, unavailable, negative_cached, shared.",
    ("result",),
)
LEASE_EVENTS = _counter(
    "lease_events_total",
    "Leases, by event: claimed, kept, restored, lost, released, taken, unavailable.",
    ("event",),
)

FLUSH_DURATION = _histogram(
    "flush_duration_seconds", "CPU time of one flush; of a few writes: not measured.", _FAST
)
FLUSH_INTERVAL = _histogram(
    "flush_interval_seconds", "Time between two flushes of an output.", _FAST
)
OPEN_FILES = _gauge(
    "open_files", "Open file descriptors of the worker that has most of them.", mode="livemax"
)
OPEN_FILES_LIMIT = _gauge(
    "open_files_limit", "File descriptors that one worker may have open.", mode="livemin"
)
LOOP_LAG = _histogram("event_loop_lag_seconds", "Delay of a timer of the event loop.", _FAST)
FIRST_FRAME = _histogram(
    "first_frame_seconds",
    "From play to the first keyframe handed to the socket, by source: cached, pulled.",
    _START,
    ("source",),
)


@dataclass(slots=True, kw_only=True, eq=False)  # a registry hashes its collectors
class NodeMetrics(Collector):
    """What the supervisor knows itself: plain figures in its own process, no files."""

    node: str
    role: str
    zone: str = ""
    version: str = ""
    ready: bool = False
    directory_up: bool = False
    workers: dict[str, int] = field(default_factory=dict)  # by state
    restarts: Tally[str] = field(default_factory=Tally)  # by reason

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of the node itself."""
        info = GaugeMetricFamily(
            "headwater_node_info",
            "Always 1; the labels say which node this is.",
            labels=("node", "role", "zone", "version"),
        )
        info.add_metric((self.node, self.role, self.zone, self.version), 1)
        yield info
        yield GaugeMetricFamily(
            "headwater_ready", "1 while the node takes new clients, as /readyz says.", self.ready
        )
        yield GaugeMetricFamily(
            "headwater_directory_up",
            "1 while the routing table answers every worker and takes what the node writes.",
            self.directory_up,
        )
        workers = GaugeMetricFamily(
            "headwater_workers", "Worker processes, by state.", labels=("state",)
        )
        for state, count in self.workers.items():
            workers.add_metric((state,), count)
        yield workers
        restarts = CounterMetricFamily(
            "headwater_worker_restarts", "Workers replaced, by reason.", labels=("reason",)
        )
        for reason, count in self.restarts.items():
            restarts.add_metric((reason,), count)
        yield restarts


def prepare(multiproc_dir: Path) -> None:
    """Make the metrics folder, empty: old files would be added to the new figures."""
    multiproc_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in multiproc_dir.glob("*.db"):
        old.unlink()


def mark_dead(pid: int, multiproc_dir: Path) -> None:
    """Drop the gauges of a worker that has ended, and keep its counts.

    The counts of all that have ended are added up in one file of each kind: a worker that crashes
    every few seconds for days must neither fill the disk nor slow the scrape down.
    """
    mark_process_dead(pid, str(multiproc_dir))  # type: ignore[no-untyped-call] # theirs
    for kind in ("counter", "histogram"):
        ended = multiproc_dir / f"{kind}_{pid}.db"
        if ended.exists():
            _add_up(ended, multiproc_dir / f"{kind}_ended.db")
            ended.unlink()


def _add_up(ended: Path, totals_file: Path) -> None:
    # The ignores: this part of the library carries no types.
    totals = MmapedDict(str(totals_file))  # type: ignore[no-untyped-call]
    try:
        values = MmapedDict.read_all_values_from_file(str(ended))  # type: ignore[no-untyped-call]
        for key, value, _, _ in values:
            before, _ = totals.read_value(key)  # type: ignore[no-untyped-call]
            totals.write_value(key, before + value, 0.0)  # type: ignore[no-untyped-call]
    except (struct.error, RuntimeError, UnicodeDecodeError):
        pass  # killed in the middle of a write: what could be read is counted
    finally:
        totals.close()  # type: ignore[no-untyped-call]


def render(multiproc_dir: Path | None, node: NodeMetrics | None = None) -> bytes:
    """Return the metrics in the Prometheus text format (`CONTENT_TYPE`).

    Adds up the workers' files in ``multiproc_dir``; None takes the metrics of this process.
    """
    registry = CollectorRegistry()
    if multiproc_dir is not None:
        MultiProcessCollector(registry, str(multiproc_dir))  # type: ignore[no-untyped-call] # theirs
    if node is not None:
        registry.register(node)
    text = generate_latest(registry)
    return text if multiproc_dir is not None else text + generate_latest(REGISTRY)
