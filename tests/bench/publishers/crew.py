"""Many publishers in one process, each in real time, spread over the length of a frame."""

import heapq
import selectors
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..child import FINISH, MEASURE, read_orders, tell
from ..clip import Clip
from ..stats import Percentiles
from ..urls import stream_url
from .stream import Publisher
from .wire import WireClip

_FRAME_S: Final = 1 / 30
_POLL_S: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class CrewOptions:
    """What a process of publishers is to do."""

    url: str
    clip: str
    count: int = 1
    first: int = 0  # number of its first stream


class Crew:
    """Publishes until it is ordered to finish."""

    def __init__(self, options: CrewOptions) -> None:
        self._options = options
        self._clip = Clip.load(Path(options.clip))
        self._selector = selectors.DefaultSelector()
        self._publishers: list[Publisher] = []
        self._late_ms: list[float] = []
        self._finished = False

    def run(self) -> None:
        """Publish; raises `PublishError`."""
        options = self._options
        self._selector.register(sys.stdin, selectors.EVENT_READ, None)
        for number in range(options.count):
            publisher = Publisher(stream_url(options.url, options.first + number))
            self._publishers.append(publisher)
            self._selector.register(publisher.socket, selectors.EVENT_READ, publisher)
        tell("publishing", count=len(self._publishers))
        self._publish()
        late = Percentiles.of(self._late_ms)
        tell(
            "result",
            messages=sum(each.messages for each in self._publishers),
            bytes=sum(each.bytes for each in self._publishers),
            late_p99_ms=late.p99 if late else 0.0,
        )
        for publisher in self._publishers:
            publisher.close()

    def _publish(self) -> None:
        clips = {
            each: WireClip(self._clip, each) for each in {p.stream_id for p in self._publishers}
        }
        began = time.monotonic()
        queue: list[tuple[float, int]] = []
        starts = []
        for number, publisher in enumerate(self._publishers):
            publisher.begin(clips[publisher.stream_id])
            starts.append(began + _FRAME_S * number / len(self._publishers))
            heapq.heappush(queue, (starts[number], number))
        while not self._finished:
            due, number = queue[0]
            now = time.monotonic()
            if due > now:
                self._serve(min(due - now, _POLL_S))
                continue
            publisher = self._publishers[number]
            next_ms = publisher.send_next(clips[publisher.stream_id])
            self._late_ms.append((now - due) * 1000)
            heapq.heapreplace(queue, (starts[number] + next_ms / 1000, number))

    def _serve(self, timeout: float) -> None:
        for key, _ in self._selector.select(timeout):
            if key.data is not None:
                key.data.receive()
                continue
            orders = read_orders()
            if MEASURE in orders:
                self._late_ms.clear()
            self._finished = self._finished or FINISH in orders
