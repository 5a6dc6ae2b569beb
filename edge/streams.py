"""The streams of an edge worker: a pull each, begun by the first viewer and kept for a while."""

import asyncio
from collections import Counter
from collections.abc import Iterable

from common import metrics
from common.errors import RelayError, StreamNotFound
from common.ids import StreamKey
from common.logs import get_log
from common.net.roles import PlayOrder
from common.stream.flusher import Flusher
from common.stream.live import LiveStream
from common.stream.viewer import ViewerKind
from common.supervisor.app import WorkerContext
from edge.locate import Locator
from edge.pull import Pull, PullState

_log = get_log("edge.streams")


class Streams:
    """All pulls of a worker. Viewers of one stream share one: single flight comes for free."""

    def __init__(self, context: WorkerContext, locator: Locator, flusher: Flusher) -> None:
        self._context = context
        self._settings = context.settings
        self._locator = locator
        self._flusher = flusher
        self._loop = asyncio.get_running_loop()
        self._pulls: dict[StreamKey, tuple[Pull, asyncio.Task[None]]] = {}
        self._members: frozenset[int] = frozenset()
        self._past_bytes_in = 0  # of pulls that are over

    @property
    def live(self) -> Iterable[LiveStream]:
        """The streams that viewers can join."""
        return [pull.live for pull, _ in self._pulls.values() if pull.running]

    @property
    def bytes_in(self) -> int:
        """Bytes that pulls have received since the worker's start."""
        return self._past_bytes_in + sum(pull.bytes_in for pull, _ in self._pulls.values())

    def find(self, order: PlayOrder) -> LiveStream | None:
        """Return a stream that is here already."""
        entry = self._pulls.get(order.name.key)
        if entry is None or not entry[0].running:
            return None
        if order.kind is ViewerKind.SIBLING:
            entry[0].go_direct()
        return entry[0].live

    async def acquire(self, order: PlayOrder) -> LiveStream:
        """Pull a stream, or wait for a pull that has begun.

        Raises StreamNotFound when nobody publishes it within the hold time, RelayError when this
        worker or the stream's way through the cluster allows no more.
        """
        entry = self._pulls.get(order.name.key)
        if entry is None:
            pull = self._begin(order)
        else:
            pull = entry[0]
            metrics.ROUTE_LOOKUPS.labels(result="shared").inc()
            if order.kind is ViewerKind.SIBLING:
                pull.go_direct()
        await asyncio.shield(pull.ready)
        return pull.live

    def viewer_left(self, stream: LiveStream) -> None:
        """Let a pull linger when its last viewer has gone, then end it."""
        if not stream.viewers:
            self._loop.call_later(self._settings.edge.linger_s, self._end_if_unused, stream)

    def members_changed(self, slots: frozenset[int]) -> None:
        """Take note of the workers of this host: pulls may change hands."""
        self._members = slots
        for pull, _ in list(self._pulls.values()):
            pull.reconsider()

    def measure(self) -> None:
        """Set the gauges that only pulls know."""
        states = Counter(pull.state for pull, _ in self._pulls.values())
        for state in PullState:
            metrics.RELAYS.labels(state=state.value).set(states[state])

    async def close(self) -> None:
        """End all pulls."""
        tasks = [task for _, task in self._pulls.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, order: PlayOrder) -> Pull:
        if len(self._pulls) >= self._settings.edge.max_streams:
            raise RelayError("too_many_streams", "this edge worker has all the streams it may have")
        hops = (*(order.hello.hops if order.hello else ()), self._context.node)
        if len(hops) > self._settings.relay.hop_limit and order.kind is not ViewerKind.SIBLING:
            raise RelayError("too_many_hops", " -> ".join(hops))
        key = order.name.key
        pull = Pull(
            LiveStream(key, self._settings.gop, self._flusher),
            self._context,
            self._locator,
            lambda: self._members,
            hops,
            direct=order.kind is ViewerKind.SIBLING,
        )
        task = asyncio.ensure_future(pull.run())
        self._pulls[key] = (pull, task)
        task.add_done_callback(lambda done: self._ended(pull, done))
        # Whoever asked may be gone before the stream is here.
        pull.ready.add_done_callback(lambda _: self.viewer_left(pull.live))
        return pull

    def _end_if_unused(self, stream: LiveStream) -> None:
        entry = self._pulls.get(stream.key)
        if entry is not None and entry[0].live is stream and not stream.viewers:
            entry[1].cancel()

    def _ended(self, pull: Pull, task: "asyncio.Task[None]") -> None:
        entry = self._pulls.get(pull.key)
        if entry is not None and entry[0] is pull:
            del self._pulls[pull.key]
        self._past_bytes_in += pull.bytes_in
        if not pull.ready.done():
            pull.ready.set_exception(StreamNotFound(pull.key))
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.exception("pull failed", error, stream=pull.key)
            pull.live.end("internal_error")
