"""Where a stream is, as this worker knows it: the table, its announcements, and what was last seen.

* A name that nobody publishes is looked up once per negative-cache period, whoever asks how often.
* An announcement ends waiting at once and is believed over older answers.
* While the table is away the last known routes serve on. A publisher that moves meanwhile tells
  nobody, so whoever misses its stream asks one known origin worker after the other.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol, TypeVar

from common.cluster.announcements import follow
from common.cluster.directory import Directory
from common.cluster.reach import Reach
from common.cluster.records import ClusterEvent, EventKind, Route
from common.errors import DirectoryUnavailable
from common.ids import NodeId, StreamKey
from common.logs import get_log
from common.metrics import ROUTE_LOOKUPS, begin

MAX_REMEMBERED: Final = 100_000
"""Routes and dead names that are remembered; the oldest are forgotten first."""

MAX_ORIGINS: Final = 1_000
"""Addresses of origin workers that are remembered, likewise: each may have to be asked."""

SUSPECT_PERIOD_S: Final = 1.0
"""A holder that cannot be reached is announced once in so long, by each worker that misses it."""

LOOKUPS: Final = ("hit", "miss", "unavailable", "negative_cached", "shared")
"""What becomes of look-ups, as it is counted."""

_log = get_log("edge.locate")

_K = TypeVar("_K")
_V = TypeVar("_V")


class Watcher(Protocol):
    """Whoever wants to know what becomes of a stream."""

    def reconsider(self) -> None:
        """Look again at what is known: it may have changed."""
        ...

    def recheck(self) -> None:
        """Ask the table again: announcements may have been missed."""
        ...


class Locator:
    """Finds the origin worker that holds a stream."""

    def __init__(
        self, directory: Directory, negative_cache_s: float, now: Callable[[], float]
    ) -> None:
        begin(ROUTE_LOOKUPS, "result", LOOKUPS)
        self._directory = directory
        self._negative_cache_s = negative_cache_s
        self._now = now
        self._known: OrderedDict[StreamKey, Route] = OrderedDict()
        self._origins: OrderedDict[str, None] = OrderedDict()  # addresses, latest last
        self._absent: OrderedDict[StreamKey, float] = OrderedDict()  # until when
        self._suspected: OrderedDict[tuple[StreamKey, int], float] = OrderedDict()  # likewise
        self._suspecting: set[asyncio.Task[None]] = set()
        self._asking: dict[StreamKey, asyncio.Task[None]] = {}
        self._watchers: dict[StreamKey, Watcher] = {}
        self._listening: asyncio.Task[None] | None = None
        self._table = Reach(_log, "known routes serve on")
        self.on_draining: Callable[[NodeId], None] = lambda node: None
        """Called with each node that is announced to drain."""

    @property
    def directory_ok(self) -> bool:
        """Whether the table is within reach."""
        return self._table.ok

    def start(self) -> None:
        """Begin to listen to announcements."""
        self._listening = asyncio.ensure_future(follow(self._directory, self._handle))

    async def close(self) -> None:
        """Stop listening."""
        if self._listening is not None:
            self._listening.cancel()
            for asking in self._asking.values():
                asking.cancel()
            calls = *self._suspecting, *self._asking.values()
            await asyncio.gather(self._listening, *calls, return_exceptions=True)

    def watch(self, stream: StreamKey, watcher: Watcher) -> None:
        """Tell ``watcher`` about ``stream``; it takes the place of an earlier one."""
        self._watchers[stream] = watcher

    def unwatch(self, stream: StreamKey, watcher: Watcher) -> None:
        """Stop telling ``watcher``; harmless when another has taken its place."""
        if self._watchers.get(stream) is watcher:
            del self._watchers[stream]

    def announced(self, stream: StreamKey) -> Route | None:
        """Return the route as last seen, without asking the table."""
        return self._known.get(stream)

    async def find(self, stream: StreamKey) -> Route | None:
        """Return who holds ``stream``; None when nobody does.

        Raises DirectoryUnavailable when the table is away and nothing is known.
        """
        if self._absent.get(stream, 0.0) > self._now():
            ROUTE_LOOKUPS.labels(result="negative_cached").inc()
            return None
        before = self._known.get(stream)
        try:
            route = await self._directory.lookup(stream)
        except DirectoryUnavailable as error:
            self._table.lost(str(error))
            ROUTE_LOOKUPS.labels(result="unavailable").inc()
            known = self._known.get(stream)
            if known is None:
                raise
            return known
        self._table.back()
        ROUTE_LOOKUPS.labels(result="miss" if route is None else "hit").inc()
        if self._known.get(stream) is not before:
            return self._known.get(stream)  # an announcement has overtaken the answer
        if route is None:
            self._known.pop(stream, None)
            _remember(self._absent, stream, self._now() + self._negative_cache_s, MAX_REMEMBERED)
        else:
            _remember(self._known, stream, route, MAX_REMEMBERED)
            self._note_origin(route.address)
        return route

    def ask_meanwhile(self, stream: StreamKey) -> None:
        """Ask the table, one question at a time; whoever watches ``stream`` hears of an answer."""
        if stream not in self._asking:
            asking = self._asking[stream] = asyncio.ensure_future(self._ask(stream))
            asking.add_done_callback(lambda _: self._asking.pop(stream))

    async def _ask(self, stream: StreamKey) -> None:
        try:
            await self.find(stream)
        except DirectoryUnavailable:
            return
        if self.directory_ok and (watcher := self._watchers.get(stream)):
            watcher.reconsider()

    def place(self, route: Route, misses: int) -> str:
        """Return where to look for a stream that was missed ``misses`` times in a row.

        Where ``route`` says, as long as the table can be asked.
        """
        if self.directory_ok or not misses:
            return route.address
        others = [address for address in reversed(self._origins) if address != route.address]
        return [route.address, *others][misses % (len(others) + 1)]

    def found(self, stream: StreamKey, address: str) -> None:
        """Take note that ``stream`` is at ``address``, whatever was last known of it."""
        known = self._known.get(stream)
        if known is not None and known.address != address and not self.directory_ok:
            claim = replace(known.claim, address=address)
            self._known[stream] = replace(known, claim=claim)

    def suspect(self, stream: StreamKey, epoch: int) -> None:
        """Announce that the holder of ``stream`` cannot be reached, for a standby to look at it."""
        if self._suspected.get((stream, epoch), 0.0) > self._now():
            return
        _remember(self._suspected, (stream, epoch), self._now() + SUSPECT_PERIOD_S, MAX_REMEMBERED)
        task = asyncio.ensure_future(self._announce_suspect(stream, epoch))
        self._suspecting.add(task)
        task.add_done_callback(self._suspecting.discard)

    async def _announce_suspect(self, stream: StreamKey, epoch: int) -> None:
        try:
            await self._directory.suspect(stream, epoch)
        except DirectoryUnavailable as error:
            self._table.lost(str(error))

    def _handle(self, event: ClusterEvent) -> None:
        if event.kind is EventKind.AWAY:
            self._table.lost("announcements are missed")
            return
        if event.kind is EventKind.RESYNC:
            self._table.back()
            self._absent.clear()
            for each in list(self._watchers.values()):
                each.recheck()
            return
        if event.node is not None:
            self.on_draining(event.node)
        stream = event.stream
        if stream is None or event.kind is EventKind.SUSPECT:
            return  # a suspicion is none of the edges' business: it moves nothing yet
        known = self._known.get(stream)
        if event.kind is EventKind.CLAIMED and event.route is not None:
            self._absent.pop(stream, None)
            self._note_origin(event.route.address)
            # After a flush the loser of a stream may put its route back before the winner does.
            if event.route.epoch >= known.epoch if known else stream in self._watchers:
                _remember(self._known, stream, event.route, MAX_REMEMBERED)
        elif event.kind is EventKind.RELEASED and known and known.epoch <= event.epoch:
            del self._known[stream]
        if watcher := self._watchers.get(stream):
            watcher.reconsider()

    def _note_origin(self, address: str) -> None:
        _remember(self._origins, address, None, MAX_ORIGINS)


def _remember(memory: "OrderedDict[_K, _V]", key: _K, value: _V, maximum: int) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > maximum:
        memory.popitem(last=False)
