"""The pull of one stream: finds its source, relays it, and finds the next one when it is lost.

Theory of operation. A pull is a loop over two steps: *find a target* and *relay from it until that
ends*. Viewers hang on the `LiveStream`, not on the relay, so they stay while the loop goes round.
Two deadlines bound it: ``hold`` for a stream that has never been live here, ``grace`` after a
loss. An announcement, a change of the worker's siblings, or a route that differs from the one in
use wakes the loop or ends the relay, so that it moves at once.

The target is the sibling worker that owns the stream's pull on this host, if that is not this
worker; else the origin worker in the route. A pull that a sibling asked for is *direct*: it never
goes to a sibling, so two workers whose views of the host differ for a moment cannot feed each
other.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from common.backoff import Backoff
from common.errors import DirectoryUnavailable, HeadwaterError, RelayError, StreamNotFound
from common.ids import NodeId, StreamKey
from common.logs import get_log
from common.media.timeline import RelayTimeline
from common.metrics import PUBLISH_TO_EDGE, RELAY_LOSSES, RELAY_ROUND_TRIP
from common.net.hello import RelayHello
from common.relay.upstream import Upstream, UpstreamAddress, UpstreamTimes, open_upstream
from common.rtmp.message import Message, MessageType
from common.stream.ingest import StreamFeed
from common.stream.live import LiveStream
from common.supervisor.app import WorkerContext
from edge.locate import Locator
from edge.siblings import owner_of

_log = get_log("edge.pull")

_MOVED: Final = "moved"


class PullState(StrEnum):
    """Where a pull stands."""

    RESOLVING = "resolving"
    CONNECTING = "connecting"
    STREAMING = "streaming"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Target:
    """Where to relay from. ``epoch`` is the route's; None for a sibling."""

    address: UpstreamAddress
    epoch: int | None = None
    slot: int | None = None


class Pull:
    """One stream's pull. `ready` says when there is media, or why there is none."""

    def __init__(
        self,
        live: LiveStream,
        context: WorkerContext,
        locator: Locator,
        members: Callable[[], frozenset[int]],
        hops: tuple[NodeId, ...],
        *,
        direct: bool,
    ) -> None:
        self.live = live
        self.state = PullState.RESOLVING
        self.direct = direct
        self._context = context
        self._settings = context.settings
        self._limits = context.settings.rtmp.limits()
        self._locator = locator
        self._members = members
        self._hops = hops
        self._loop = asyncio.get_running_loop()
        self._timeline = RelayTimeline()
        self._feed = StreamFeed(live, self._timeline, self._limits)
        self._target: Target | None = None
        self._fed_epoch: int | None = None  # of the source that fed the stream last
        self._upstream: Upstream | None = None
        self._session_begun = False
        self._heard_at = 0.0  # when media last came
        self._wake = asyncio.Event()
        self._log = _log.bind(stream=live.key)
        self.bytes_in = 0
        self.ready: asyncio.Future[None] = self._loop.create_future()
        # Nobody may be waiting any more when it fails.
        self.ready.add_done_callback(lambda ready: ready.cancelled() or ready.exception())

    @property
    def key(self) -> StreamKey:
        """The stream's key."""
        return self.live.key

    @property
    def running(self) -> bool:
        """Whether viewers can join: there was media, and the stream is not given up."""
        return self.ready.done() and not self.ready.cancelled() and self.ready.exception() is None

    async def run(self) -> None:
        """Pull until the stream is over for good; sets `ready`. Cancelled: leave at once."""
        self._locator.watch(self.key, self.reconsider)
        rechecking = asyncio.ensure_future(self._recheck_for_ever())
        try:
            await self._pull()
        finally:
            rechecking.cancel()
            self._locator.unwatch(self.key)
            if self._upstream is not None:
                self._upstream.close()

    def reconsider(self) -> None:
        """Look again whether the source in use is the right one; called when it may not be."""
        self._wake.set()
        target = self._target
        if target is None or self._upstream is None:
            return
        owner = self._owner()
        if owner != target.slot:
            self._move("siblings_changed")
            return
        route = self._locator.announced(self.key)
        if target.epoch is None or route is None or route.epoch <= target.epoch:
            return
        if str(UpstreamAddress.parse(route.address)) == str(target.address):
            # A new publisher at the same worker: its stream goes on, and so does the relay.
            self._target = Target(target.address, route.epoch)
            self._fed_epoch = route.epoch
        else:
            self._move("route_changed")

    def go_direct(self) -> None:
        """Pull from the origin from now on: a sibling relays from this worker."""
        if not self.direct:
            self.direct = True
            self.reconsider()

    def _move(self, why: str) -> None:
        self._log.info("relay moves", reason=why)
        if self._upstream is not None and not self._upstream.ended.done():
            self._upstream.ended.set_result(RelayError(_MOVED))

    async def _pull(self) -> None:
        edge = self._settings.edge
        relay = self._settings.relay
        backoff = Backoff(relay.backoff_min_s, relay.backoff_max_s)
        deadline = self._loop.time() + edge.hold_s
        while True:
            target = await self._next_target(deadline)
            if target is None:
                self._give_up()
                return
            outcome = await self._relay_from(target)
            if self._session_begun:
                backoff.reset()
                deadline = self._loop.time() + edge.grace_s
            self.state = PullState.LOST if self.running else PullState.RESOLVING
            if outcome.reason == _MOVED:
                continue
            RELAY_LOSSES.inc(outcome.reason)
            self._log.info("relay lost", source=str(target.address), reason=str(outcome))
            if target.slot is not None and outcome.reason == "not_found" and not self.running:
                self._give_up()  # the owner has waited for it already
                return
            left = deadline - self._loop.time()
            if left <= 0:
                self._give_up()
                return
            await self._sleep(min(backoff.next_s(), left))

    def _give_up(self) -> None:
        self.state = PullState.LOST
        if not self.ready.done():
            self.ready.set_exception(StreamNotFound(self.key))
        else:
            self._log.info("stream is over", viewers=len(self.live.viewers))
            self.live.end("stream_over")

    async def _next_target(self, deadline: float) -> Target | None:
        """Return where to relay from, as soon as that is known; None when the time is over."""
        while True:
            self._wake.clear()
            owner = self._owner()
            if owner is not None:
                return Target(UpstreamAddress(unix=self._context.sibling_socket(owner)), slot=owner)
            try:
                route = await self._locator.find(self.key)
            except DirectoryUnavailable:
                route = None
            if route is not None:
                return Target(UpstreamAddress.parse(route.address), route.epoch)
            left = deadline - self._loop.time()
            if left <= 0:
                return None
            await self._sleep(min(left, self._settings.edge.negative_cache_s))

    def _owner(self) -> int | None:
        """Return the sibling to relay from; None when this worker pulls itself."""
        members = self._members()
        own = self._context.slot
        if self.direct or not members:
            return None
        owner = owner_of(self.key, members | {own})
        return None if owner == own else owner

    async def _sleep(self, seconds: float) -> None:
        """Wait, but not longer than until something has changed."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _relay_from(self, target: Target) -> RelayError:
        self.state = PullState.CONNECTING
        self._target = target
        self._session_begun = False
        relay = self._settings.relay
        # A sibling that has to find the stream itself may hold us for as long as it may hold a
        # viewer.
        waiting = 0.0 if target.slot is None else self._settings.edge.hold_s
        try:
            self._upstream = await open_upstream(
                target.address,
                self.key,
                limits=self._limits,
                times=UpstreamTimes(
                    connect_s=relay.connect_timeout_s,
                    first_media_s=relay.first_byte_timeout_s + waiting,
                    silence_s=relay.silence_s,
                ),
                properties=RelayHello(node=self._context.node, hops=self._hops).to_properties(),
                on_media=self._take,
                on_round_trip=self._note_round_trip if target.slot is None else _ignore,
            )
            outcome = await asyncio.shield(self._upstream.ended)
        except RelayError as error:
            outcome = error
        finally:
            if self._upstream is not None:
                self.bytes_in += self._upstream.bytes_in
                self._upstream.close()
                self._upstream = None
            self._target = None
        return outcome

    def _take(self, message: Message) -> None:
        """Feed the stream with what the relay brings."""
        if not self._session_begun:
            self._begin_session()
        self._feed.take(message)
        if self.state is not PullState.STREAMING and message.type_id != MessageType.DATA_AMF0:
            self.state = PullState.STREAMING
            if not self.ready.done():
                self.ready.set_result(None)

    def _begin_session(self) -> None:
        self._session_begun = True
        target = self._target
        epoch = target.epoch if target is not None else None
        # The same epoch is the same publish session with the same clock: it goes on exactly
        # where it was, without a keyframe and without what viewers already have.
        continues = epoch is not None and epoch == self._fed_epoch
        self._fed_epoch = epoch
        if not continues:
            self.live.begin_session()
        self._timeline.begin_session(continues=continues)
        self._log.info("relay runs", source=str(target.address) if target else "", epoch=epoch)

    def _note_round_trip(self, seconds: float) -> None:
        RELAY_ROUND_TRIP.observe(seconds)
        PUBLISH_TO_EDGE.observe(seconds / 2)

    async def _recheck_for_ever(self) -> None:
        """Look the route up now and then: an announcement may have been missed."""
        while True:
            await asyncio.sleep(self._settings.edge.recheck_s)
            if self._target is not None and self._target.epoch is not None:
                try:
                    await self._locator.find(self.key)
                except HeadwaterError:
                    continue  # the table is away; what runs goes on
                self.reconsider()


def _ignore(seconds: float) -> None:
    """Take no note: a sibling is no other node."""
