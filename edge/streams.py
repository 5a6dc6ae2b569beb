"""The streams of an edge worker: a pull each, begun by the first viewer and kept for a while."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

from common import metrics
from common.errors import DirectoryUnavailable, RelayError, StreamNotFound
from common.ids import NodeId, StreamKey
from common.logs import get_log
from common.net.roles import PlayOrder
from common.stream.flusher import Flusher
from common.stream.live import LiveStream
from common.stream.viewer import ViewerKind
from common.supervisor.app import WorkerContext
from edge.locate import Locator
from edge.pull import LOSSES, Pull, PullState
from edge.target import Source, TargetFinder
from edge.zone import Zone

_log = get_log("edge.streams")


@dataclass(slots=True, eq=False)
class _Entry:
    """A pull that viewers may join."""

    pull: Pull
    task: "asyncio.Task[None]"
    linger: asyncio.TimerHandle | None = None
    waiting: int = 0  # who will be viewers when there is media


class Streams:
    """All pulls of a worker. Viewers of one stream share one: single flight comes for free."""

    def __init__(
        self, context: WorkerContext, locator: Locator, zone: Zone, flusher: Flusher
    ) -> None:
        self._context = context
        self._settings = context.settings
        self._locator = locator
        self._zone = zone
        zone.on_drain = self._reconsider
        self._flusher = flusher
        metrics.RELAY_LOSSES.begin(LOSSES)
        self._loop = asyncio.get_running_loop()
        self._entries: dict[StreamKey, _Entry] = {}
        self._running: dict[asyncio.Task[None], Pull] = {}  # those that are ending included
        self._members: frozenset[int] = frozenset()
        self._silent: dict[int, asyncio.TimerHandle] = {}  # siblings that do not answer
        self._linger_s = self._settings.edge.linger_s
        self._past_bytes_in = 0  # of pulls that are over

    @property
    def live(self) -> Iterable[LiveStream]:
        """The streams that viewers can join."""
        return [each.pull.live for each in self._entries.values() if each.pull.running]

    @property
    def bytes_in(self) -> int:
        """Bytes that pulls have received since the worker's start."""
        return self._past_bytes_in + sum(pull.bytes_in for pull in self._running.values())

    def find(self, order: PlayOrder) -> LiveStream | None:
        """Return a stream that is here already."""
        entry = self._entries.get(order.name.key)
        if entry is None or not entry.pull.running or order.kind is ViewerKind.RELAY:
            return None  # a relay has its way looked at first
        entry.pull.asked_by(order.kind)
        return entry.pull.live

    async def acquire(self, order: PlayOrder) -> LiveStream:
        """Pull a stream, or wait for a pull that has begun.

        Raises StreamNotFound when nobody publishes it within the hold time, RelayError when this
        worker or the stream's way through the cluster does not allow it.
        """
        if order.kind is ViewerKind.RELAY:
            await self._refuse_loop(order)
        entry = self._entries.get(order.name.key)
        # One that is ending is not waited for and not joined: whoever comes now gets a new one.
        if entry is None or entry.pull.over:
            entry = self._begin(order)
        else:
            metrics.ROUTE_LOOKUPS.labels(result="shared").inc()
            entry.pull.asked_by(order.kind)
        await self._wait(entry)
        if entry.pull.over:  # since the media came, a turn ago: nothing will feed it any more
            raise StreamNotFound(entry.pull.key)
        return entry.pull.live

    def viewer_left(self, stream: LiveStream) -> None:
        """Let a pull linger when its last viewer has gone, then end it."""
        entry = self._entries.get(stream.key)
        if entry is not None and entry.pull.live is stream and not stream.viewers:
            self._linger(entry)

    def members_changed(self, slots: frozenset[int]) -> None:
        """Take note of the workers of this host: pulls may change hands."""
        self._members = slots
        for slot in self._silent.keys() - slots:
            self._silent.pop(slot).cancel()  # whoever takes the place is another process
        for pull in list(self._running.values()):
            pull.members_changed()

    def stop_lingering(self) -> None:
        """End each pull with its last viewer from now on: no new ones come, and siblings wait."""
        self._linger_s = 0.0
        for entry in list(self._entries.values()):
            if entry.linger is not None and not entry.pull.live.viewers:
                self._linger(entry)

    def measure(self) -> None:
        """Set the gauges that only pulls know."""
        counts = Counter((pull.state, pull.source) for pull in self._running.values())
        for state, source in product(PullState, (*Source, None)):
            labels = {"state": state.value, "source": source.value if source else "none"}
            metrics.RELAYS.labels(**labels).set(counts[state, source])

    async def close(self) -> None:
        """End all pulls."""
        for forgiving in self._silent.values():
            forgiving.cancel()
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, order: PlayOrder) -> _Entry:
        if len(self._running) >= self._settings.edge.max_streams:
            raise RelayError("too_many_streams", "this edge worker has all the streams it may have")
        hops = self._hops(order)
        if len(hops) > self._settings.relay.hop_limit:
            raise RelayError("too_many_hops", " -> ".join(hops))
        key = order.name.key
        pull = Pull(
            LiveStream(key, self._settings.gop, self._flusher),
            self._context,
            self._locator,
            self._new_finder(key),
            self._sibling_silent,
            hops,
            since=order.hello.since if order.hello else None,
        )
        pull.asked_by(order.kind)
        task = asyncio.ensure_future(pull.run())
        self._running[task] = pull
        entry = self._entries[key] = _Entry(pull, task)
        task.add_done_callback(lambda done: self._ended(entry, done))
        return entry

    async def _wait(self, entry: _Entry) -> None:
        entry.waiting += 1
        try:
            await asyncio.shield(entry.pull.ready)
        finally:
            entry.waiting -= 1
            if not entry.waiting:
                # Who has waited attaches in this very step, or is gone.
                self._loop.call_soon(self.viewer_left, entry.pull.live)

    def _new_finder(self, key: StreamKey) -> TargetFinder:
        return TargetFinder(
            key,
            self._context.slot,
            self._locator,
            self._zone,
            lambda: self._members - self._silent.keys(),
            self._settings.edge.negative_cache_s,
        )

    def _sibling_silent(self, slot: int) -> None:
        """Let a sibling that does not answer own no pulls: one of the others elects itself.

        The supervisor ends a worker that is silent for the heartbeat time-out. One that is a
        member after so long has been heard of again.
        """
        if slot in self._silent:
            return
        _log.warning("a sibling worker is silent: others pull in its place", slot=slot)
        patience_s = self._settings.supervisor.heartbeat_timeout_s
        self._silent[slot] = self._loop.call_later(patience_s, self._forgive, slot)
        self._reconsider()

    def _forgive(self, slot: int) -> None:
        del self._silent[slot]
        self._reconsider()

    def _reconsider(self) -> None:
        for pull in list(self._running.values()):
            pull.reconsider()

    async def _refuse_loop(self, order: PlayOrder) -> None:
        """Raise RelayError when the stream comes here from a node that it would go to from here.

        The list in `connect` names those nodes. A pull that runs for other viewers has begun
        without them, so its source would not know them again.
        """
        hops = order.hello.hops if order.hello else ()
        key = order.name.key
        # Of a stream that runs changes are announced; and another edge's viewers may be waiting.
        route = self._locator.announced(key) if self._is_running(key) else None
        try:
            route = route or await self._locator.find(key)
        except DirectoryUnavailable:
            return  # nothing is known, so nothing is pulled either
        if route is not None and route.claim.node in hops:
            way = " -> ".join((*hops, self._context.node, route.claim.node))
            _log.limited("relay_loop").error(
                "relay refused: it would go round in a loop", stream=key, hops=way
            )
            raise RelayError("relay_loop", way)

    def _is_running(self, key: StreamKey) -> bool:
        entry = self._entries.get(key)
        return entry is not None and entry.pull.running

    def _hops(self, order: PlayOrder) -> tuple[NodeId, ...]:
        """Return the nodes that the stream goes through from this one on, this one last."""
        hops = order.hello.hops if order.hello else ()
        node = self._context.node
        # A sibling has named this node already.
        return hops if hops and order.kind is ViewerKind.SIBLING else (*hops, node)

    def _linger(self, entry: _Entry) -> None:
        if entry.linger is not None:
            entry.linger.cancel()  # a viewer has come and gone meanwhile: the time begins anew
        entry.linger = self._loop.call_later(self._linger_s, self._end_if_unused, entry)

    def _end_if_unused(self, entry: _Entry) -> None:
        # Those who wait hear of the media a turn later than it comes, and would attach to nothing.
        if not entry.waiting and not entry.pull.live.viewers:
            entry.pull.over = True  # at once: a viewer may come before the task has ended
            entry.task.cancel()

    def _ended(self, entry: _Entry, task: "asyncio.Task[None]") -> None:
        pull = entry.pull
        if self._entries.get(pull.key) is entry:
            del self._entries[pull.key]
        if entry.linger is not None:
            entry.linger.cancel()
        del self._running[task]
        self._past_bytes_in += pull.bytes_in
        if not pull.ready.done():
            pull.ready.set_exception(StreamNotFound(pull.key))
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.exception("pull failed", error, stream=pull.key)
            pull.live.end("internal_error")
