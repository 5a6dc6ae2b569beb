"""The pull of one stream: finds its source, relays it, and finds the next one when it is lost.

Theory of operation. A pull is a loop over two steps: *find a target* and *relay from it until that
ends*. Viewers hang on the `LiveStream`, not on the relay, so they stay while the loop goes round.
For how long is judged by `edge.patience`. An announcement, a change of the worker's siblings, or a
route that differs from the one in use wakes the loop or ends the relay, or the attempt to connect
for one, so that it moves at once.

The target is a sibling worker, another edge of this zone or the origin worker in the route;
`edge.target` says which. A sibling that says nothing at all, frozen but not dead, is reported to
whoever keeps the members, and owns nothing here until it is heard of again. An edge that fails, in
whatever way, is left at once: the stream can be had without it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from functools import partial
from random import uniform
from typing import Final

from common.cluster.records import Route
from common.errors import DirectoryUnavailable, RelayError, StreamNotFound
from common.ids import NodeId, StreamKey
from common.logs import get_log
from common.media.recent import ResumePoint
from common.metrics import RELAY_LOSSES
from common.net.hello import RelayHello
from common.relay.feed import RelayFeed
from common.relay.upstream import Upstream, open_upstream
from common.stream.live import LiveStream
from common.stream.viewer import ViewerKind
from common.supervisor.app import WorkerContext
from edge.locate import Locator
from edge.patience import LEFT, SILENT, Ended, Patience
from edge.relay import Relay, address_of, times_for
from edge.target import SUSPICIOUS, Source, Target, TargetFinder

_log = get_log("edge.pull")

_LOST: Final = "lost"
"""How a relay ends whose connection was closed or reset by the other end."""

_ENDED: Final = "ended"
"""How a relay ends whose other end says that the stream is over."""

LOSSES: Final = (
    *(_ENDED, _LOST, SILENT, "no_media", "not_found", "refused", "closed", "reconnect_requested"),
    *("connect_failed", "connect_timeout", "bad_address"),
)
"""How a relay ends that we have not left ourselves."""

_SOONEST: Final = 0.75
"""Of `edge.recheck_s`: after so much of it the next check may come."""


class PullState(StrEnum):
    """Where a pull stands."""

    RESOLVING = "resolving"
    CONNECTING = "connecting"
    STREAMING = "streaming"
    LOST = "lost"


class Pull:
    """One stream's pull. `ready` says when there is media, or why there is none."""

    def __init__(
        self,
        live: LiveStream,
        context: WorkerContext,
        locator: Locator,
        finder: TargetFinder,
        sibling_silent: Callable[[int], None],
        hops: tuple[NodeId, ...],
        since: ResumePoint | None = None,
    ) -> None:
        """Prepare to pull; ``since`` is how far somebody has the stream for whom it begins."""
        self.live = live
        self.state = PullState.RESOLVING
        self.over = False
        """Whether it has ended or is about to: it is no one's to join any more."""
        self._context = context
        self._settings = context.settings
        self._limits = context.settings.rtmp.limits()
        self._locator = locator
        self._sibling_silent = sibling_silent
        self._hops = hops
        self._asked_since = since
        self._loop = asyncio.get_running_loop()
        self._feed = RelayFeed(live, self._limits)
        self._finder = finder
        self._target: Target | None = None
        self._relay: Relay | None = None
        self._past_bytes_in = 0  # of relays that are over
        self._recheck = asyncio.Event()
        self._log = _log.bind(stream=live.key)
        self.ready: asyncio.Future[None] = self._loop.create_future()
        # Nobody may be waiting any more when it fails.
        self.ready.add_done_callback(lambda ready: ready.cancelled() or ready.exception())

    @property
    def key(self) -> StreamKey:
        """The stream's key."""
        return self.live.key

    @property
    def source(self) -> Source | None:
        """What it relays from now, or is about to."""
        return self._target.source if self._target is not None else None

    @property
    def running(self) -> bool:
        """Whether viewers can join: there was media, and the stream is not given up."""
        if self.over or not self.ready.done() or self.ready.cancelled():
            return False
        return self.ready.exception() is None

    @property
    def bytes_in(self) -> int:
        """Bytes received so far."""
        running = self._relay.bytes_in if self._relay is not None else 0
        return self._past_bytes_in + running

    async def run(self) -> None:
        """Pull until the stream is over for good; sets `ready`. Cancelled: leave at once."""
        self._locator.watch(self.key, self)
        rechecking = asyncio.ensure_future(self._recheck_for_ever())
        try:
            await self._pull()
        finally:
            self.over = True
            rechecking.cancel()
            self._locator.unwatch(self.key, self)

    def reconsider(self) -> None:
        """Look again whether the source in use is the right one; called when it may not be."""
        self._finder.wake()
        self._check_source()

    def recheck(self) -> None:
        """Ask the table again about the source in use; called when announcements may be missed."""
        self._finder.wake()
        self._recheck.set()

    def members_changed(self) -> None:
        """Look again at who pulls on this host; siblings that count on this worker ask again."""
        self._finder.members_changed()
        self.reconsider()

    def asked_by(self, kind: ViewerKind) -> None:
        """Take note of who wants the stream: for a sibling or a node, it may have to move up."""
        if self._finder.asked_by(kind):
            self.reconsider()

    def _check_source(self, found: Route | None = None) -> None:
        """Leave the source in use if it is not the right one, or just not the best since ``found``.

        That is looked up now and then. Without viewers nobody would have anything of a better one.
        """
        target, relay = self._target, self._relay
        if target is None or relay is None or not relay.is_under_way:
            return
        if why := self._why_leave(target, found):
            self._log.info("relay moves", reason=why)
            relay.leave()
        elif relay.is_connected and (route := self._newer_route(target)) is not None:
            # A new publisher at the same worker: its stream goes on, and so does the relay.
            self._target = Target(target.address, route.epoch)
            self._feed.epoch_changed(route.epoch)

    def _why_leave(self, target: Target, found: Route | None) -> str:
        if why := self._finder.why_leave(target):
            return why
        if found and self.live.viewers and self._finder.prefers_another(target, found):
            return "zone_changed"
        route = self._newer_route(target)
        return "route_changed" if route is not None and route.address != target.address else ""

    def _newer_route(self, target: Target) -> Route | None:
        """Return the route as it is known now, if that is newer than the one to ``target``."""
        route = self._locator.announced(self.key)
        if target.epoch is None or route is None or route.epoch <= target.epoch:
            return None
        return route

    async def _pull(self) -> None:
        patience = Patience(self._settings.edge, self._settings.relay, self._loop.time())
        while True:
            target = await self._finder.find(patience.until)
            ended = await self._relay_from(target) if target is not None else None
            now, table_ok = self._loop.time(), self._locator.directory_ok
            pause_s = patience.pause_after(ended, now, table_ok=table_ok)
            if pause_s is None:
                self._give_up()
                return
            await self._finder.pause(pause_s)

    def _note(self, ended: Ended) -> None:
        """Tell everybody whom it concerns that a relay has ended."""
        target = ended.target
        if not ended.streamed:
            self._finder.misses += target.epoch is not None
        if ended.reason == LEFT:
            return
        self._tell_of_loss(target, ended.outcome, ended.streamed)
        if target.parent is not None:
            self._finder.parent_failed(target.parent, ended.reason)
        elif target.slot is not None and ended.reason == SILENT:
            self._sibling_silent(target.slot)

    def _tell_of_loss(self, target: Target, outcome: RelayError, streamed: bool) -> None:
        RELAY_LOSSES.inc(outcome.reason)
        event = "relay ended" if outcome.reason == _ENDED else "relay lost"
        self._log.limited(event).info(event, source=str(target), reason=str(outcome))
        # Whoever stands between us and a dead origin may accept for it, and then close.
        suspicious = outcome.reason in SUSPICIOUS or (outcome.reason == _LOST and not streamed)
        if suspicious and target.epoch is not None:
            self._locator.suspect(self.key, target.epoch)

    def _give_up(self) -> None:
        self.over = True
        self.state = PullState.LOST
        if not self.ready.done():
            self.ready.set_exception(StreamNotFound(self.key))
        else:
            self._log.info("stream is over", viewers=len(self.live.viewers))
            self.live.end("stream_over")

    async def _relay_from(self, target: Target) -> Ended:
        began = self._loop.time()
        self.state = PullState.CONNECTING
        self._target = target
        self._feed.begin_relay(target.epoch)
        relay = self._relay = Relay()
        try:
            # What is known of the source may have changed while we connected.
            outcome = await relay.run(partial(self._open, target), self._check_source)
        finally:
            self._past_bytes_in += relay.bytes_in
            self._relay = None
            target, self._target = self._target or target, None
        streamed = self.state is PullState.STREAMING
        self.state = PullState.LOST if self.running else PullState.RESOLVING
        outdated = self._newer_route(target) is not None
        ended = Ended(target, outcome, streamed, self._loop.time() - began, outdated)
        self._note(ended)
        return ended

    async def _open(self, target: Target) -> Upstream:
        return await open_upstream(
            address_of(target, self._context),
            self.key,
            limits=self._limits,
            times=times_for(target, self._settings),
            properties=self._hello().to_properties(),
            on_media=self._feed.take,
            on_first_media=self._begin_streaming,
            on_round_trip=target.source.note_round_trip,
        )

    def _hello(self) -> RelayHello:
        since = self._feed.point
        if since is None and self._asked_since is not None:
            since = replace(self._asked_since, whole_gop=True)
        node = self._context.node
        # Those who asked first may be gone, and the stream may come from one of them now.
        hops = self._hops if self._finder.to_origin else (node,)
        return RelayHello(node=node, hops=hops, since=since)

    def _begin_streaming(self) -> None:
        """Take note that the relay has brought its first audio or video, or headers of it."""
        self.state = PullState.STREAMING
        if self._target is not None:
            self._finder.streamed(self._target)
            if self._target.epoch is not None:
                self._locator.found(self.key, self._target.address)
        if not self.ready.done():
            self.ready.set_result(None)

    async def _recheck_for_ever(self) -> None:
        """Look at everything again now and then: an announcement may have been missed."""
        while True:
            # Pulls that began together, after a fault, would else ask the table together for ever.
            within_s = self._settings.edge.recheck_s * uniform(_SOONEST, 1)
            try:
                async with asyncio.timeout(within_s):
                    await self._recheck.wait()
            except TimeoutError:
                pass  # it is time anyway
            self._recheck.clear()
            try:
                await self._look_again()
            except Exception as error:  # a bug met once must not end the checks for good
                self._log.limited("recheck").exception("checking the source failed", error)

    async def _look_again(self) -> None:
        if self.running:  # else some still wait to become viewers
            self._finder.only_asked_by(self.live.viewers.values())
        if self._target is not None and self._target.slot is None:
            try:
                route = await self._locator.find(self.key)
            except DirectoryUnavailable:
                return  # what runs goes on
            self._finder.wake()
            self._check_source(route)
