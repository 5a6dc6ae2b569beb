"""Hands a worker's plain counters over to the metrics, once a second, and minds slow viewers.

The hot paths only add integers; this is where they become Prometheus series.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable

from common import metrics
from common.cluster.records import StreamLoad
from common.ids import StreamKey
from common.logs import get_log
from common.metrics import CounterFeed
from common.net.services import Services
from common.stream.flusher import Flusher
from common.stream.live import LiveStream
from common.stream.viewer import ViewerKind

PERIOD_S = 1.0

_log = get_log("meters")


class Meters:
    """The figures of one worker."""

    def __init__(
        self,
        services: Services,
        flusher: Flusher,
        streams: Callable[[], Iterable[LiveStream]],
        ingress_bytes: Callable[[], int],
        publishers: Callable[[], int] = lambda: 0,
        counted: Collection[ViewerKind] = (ViewerKind.PLAYER, ViewerKind.RELAY),
    ) -> None:
        """Prepare; ``counted`` are the kinds that are a stream's viewers in its load."""
        self._services = services
        self._flusher = flusher
        self._streams = streams
        self._publishers = publishers
        self._counted = counted
        self._ingress_bytes = ingress_bytes
        self._bytes_in = CounterFeed(metrics.BYTES_IN)
        self._bytes_out = CounterFeed(metrics.BYTES_OUT)
        self._skipped = CounterFeed(metrics.SKIPPED_GOPS)
        self._in = {
            kind: CounterFeed(metrics.MESSAGES_IN.labels(type=kind))
            for kind in ("audio", "video", "data")
        }
        self._out = {
            kind: CounterFeed(metrics.MESSAGES_OUT.labels(type=kind))
            for kind in ("audio", "video", "data")
        }
        self._messages_in: Counter[str] = Counter()
        self._seen: dict[StreamKey, tuple[int, int, int, int]] = {}
        self._loads: dict[StreamKey, StreamLoad] = {}
        self._measured_at = services.now()

    @property
    def loads(self) -> dict[StreamKey, StreamLoad]:
        """Viewers, bitrate and codecs by stream, as of the last second."""
        return self._loads

    async def run(self, *others: Callable[[], None]) -> None:
        """Measure for ever; ``others`` are called along with it."""
        while True:
            await asyncio.sleep(PERIOD_S)
            for measure in (self.measure, *others):
                try:
                    measure()
                except Exception as error:  # a bug met once must not end the kicks of all others
                    _log.limited("measure").exception("measuring failed", error)

    def measure(self) -> None:
        """Take all figures now."""
        now = self._services.now()
        elapsed = max(now - self._measured_at, 0.001)
        self._measured_at = now
        streams = list(self._streams())
        self._measure_streams(streams, elapsed)
        self._measure_lag(streams, now)
        self._measure_traffic()
        metrics.STREAMS.set(len(streams))
        metrics.PUBLISHERS.set(self._publishers())
        metrics.CONNECTIONS.set(len(self._services.registry))

    def _measure_streams(self, streams: list[LiveStream], elapsed: float) -> None:
        seen: dict[StreamKey, tuple[int, int, int, int]] = {}
        self._loads = {}
        kinds: Counter[ViewerKind] = Counter()
        for stream in streams:
            totals = stream.totals
            before = self._seen.get(stream.key, (0, 0, 0, 0))
            current = (totals.bytes_in, totals.audio_in, totals.video_in, totals.data_in)
            if any(now < then for now, then in zip(current, before, strict=True)):
                before = (0, 0, 0, 0)  # the stream of that name has begun anew
            seen[stream.key] = current
            self._messages_in["audio"] += current[1] - before[1]
            self._messages_in["video"] += current[2] - before[2]
            self._messages_in["data"] += current[3] - before[3]
            kinds.update(stream.viewers.values())
            self._loads[stream.key] = StreamLoad(
                # Never siblings, which are this very node and count their viewers themselves.
                viewers=sum(kind in self._counted for kind in stream.viewers.values()),
                bitrate_bps=round((current[0] - before[0]) * 8 / elapsed),
                codecs=stream.codecs,
            )
        self._seen = seen
        for kind in ViewerKind:
            metrics.VIEWERS.labels(kind=kind.value).set(kinds[kind])

    def _measure_lag(self, streams: list[LiveStream], now: float) -> None:
        longest = 0.0
        lagging = 0
        for stream in streams:
            for output in list(stream.outputs):
                lag, count = output.check_lag(now)
                longest = max(longest, lag)
                lagging += count
        metrics.VIEWER_LAG.set(longest)
        metrics.LAGGING_VIEWERS.set(lagging)

    def _measure_traffic(self) -> None:
        totals = self._flusher.totals
        self._bytes_in.set_total(self._ingress_bytes())
        self._bytes_out.set_total(totals.bytes_out)
        self._skipped.set_total(totals.skipped_gops)
        self._out["audio"].set_total(totals.audio_out)
        self._out["video"].set_total(totals.video_out)
        self._out["data"].set_total(totals.data_out)
        for kind, feed in self._in.items():
            feed.set_total(self._messages_in[kind])
        self._flusher.durations.push()
        self._flusher.intervals.push()
