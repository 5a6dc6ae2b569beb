"""The command `headwater demo`: a cluster that has something to do, and a look at how it does it.

An ffmpeg encodes a test picture with sound and publishes it to the first origin, through a `Tap`
that notes when each frame passes. On every edge one ffmpeg plays and decodes it, and one player in
this process takes the same stream to measure: first-frame time, bitrate and, by content, latency.
"""

import asyncio
import secrets
from collections import deque
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Final

import aiohttp

from common.errors import HeadwaterError
from common.local.admin import fetch_metrics, fetch_status
from common.local.cluster import ClusterOptions, LocalCluster, LocalNode
from common.local.demo_figures import DemoFigures, EdgeFigures, OriginFigures, percentile
from common.local.demo_view import View, introduction, make_view
from common.local.ending import run_until_signal
from common.local.ffmpeg import FfmpegError, FfmpegProcess, decode, find_ffmpeg, test_picture
from common.local.player import RtmpPlayer, open_player
from common.local.tap import HOST, Tap
from common.rtmp.message import Message, MessageType

STREAM: Final = "live/demo"

ENOUGH_FRAMES: Final = 30
"""A second of picture: less does not count as a player that got it."""

ROUND_S: Final = 1.0
ADMIN_TIMEOUT_S: Final = 2.0
PUBLISH_TIMEOUT_S: Final = 20.0
"""From the start of the encoder to its first frame, on a machine that is busy starting things."""

_LATENCIES: Final = 3600  # two minutes of frames
_SETTINGS: Final = ("log.level=warning",)  # the figures say the rest


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What `headwater demo` was asked for."""

    cluster: ClusterOptions = field(default_factory=ClusterOptions)
    duration_s: float | None = None  # None: until a signal


async def run_demo(options: DemoOptions) -> int:
    """Run the demo and return the exit code.

    0 when it was told to end, or when every player had got its picture by the end of
    ``duration_s``; 1 when one had not, or when the encoder gave up.
    """
    with make_view() as view:
        try:
            return await run_until_signal(_run(options, view))
        except HeadwaterError as error:
            view.say(f"headwater demo: {error}")
            return 1


async def _run(options: DemoOptions, view: View) -> int:
    program = find_ffmpeg()  # before a cluster is started in vain
    settled = replace(options.cluster, settings=(*_SETTINGS, *options.cluster.settings))
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(LocalCluster(settled, log=view.log))
        # A Redis that is not ours may know another demo, and the newest publisher wins.
        suffix = f"-{secrets.token_hex(2)}" if options.cluster.redis else ""
        demo = Demo(cluster, program, STREAM + suffix, stack)
        await demo.publish()
        await demo.play()
        for line in introduction(cluster, demo.url, [edge.url for edge in demo.edges]):
            view.say(line)
        await _watch(demo, view, options.duration_s)
        problems = demo.problems()
    for problem in problems:
        view.say(f"FAILED: {problem}")
    if not problems:
        view.say("every player on every edge decoded the picture")
    return 1 if problems else 0


async def _watch(demo: "Demo", view: View, duration_s: float | None) -> None:
    """Show figures until the time is over or the encoder has ended."""
    began = monotonic()
    deadline = None if duration_s is None else began + duration_s
    left = ROUND_S
    while left > 0 and not demo.publisher_ended:
        view.show(await demo.figures(monotonic() - began))
        left = ROUND_S if deadline is None else min(ROUND_S, deadline - monotonic())
        await asyncio.sleep(max(left, 0))
    view.show(await demo.figures(monotonic() - began), last=True)


class EdgeWatch:
    """The players of one edge."""

    def __init__(self, node: LocalNode, stream: str, program: Path, tap: Tap) -> None:
        self.node = node
        self.url = f"rtmp://{node.info.rtmp}/{stream}"
        self.decoder = FfmpegProcess(program, decode(self.url))
        self._tap = tap
        self._player: RtmpPlayer | None = None
        self._latencies: deque[float] = deque(maxlen=_LATENCIES)
        self._bitrate_bps = 0.0
        self._measured_at = monotonic()
        self._measured_bytes = 0

    async def start(self, stack: AsyncExitStack) -> None:
        """Start the players; ``stack`` ends them."""
        self._player = await open_player(self.url, self._take)
        stack.callback(self._player.close)
        stack.push_async_callback(self.decoder.stop)
        await self.decoder.start()

    def figures(self) -> EdgeFigures:
        """Return what the players see."""
        assert self._player is not None
        self._note_bitrate(monotonic(), self._player.bytes_in)
        return EdgeFigures(
            name=self.node.info.id,
            frames=self.decoder.frames,
            errors=self.decoder.errors,
            bitrate_bps=self._bitrate_bps,
            first_frame_s=self._player.first_keyframe_s,
            latency_p50_s=percentile(self._latencies, 0.5),
            latency_p99_s=percentile(self._latencies, 0.99),
        )

    def problem(self) -> str | None:
        """Say why the picture did not arrive as it should; None when it did."""
        decoder, player = self.decoder, self._player
        name = self.node.info.id
        if decoder.exit_code is not None:
            return f"{name}: ffmpeg ended ({decoder.exit_code}): {decoder.explain()}"
        if decoder.errors:
            return f"{name}: ffmpeg met {decoder.errors} errors: {decoder.explain()}"
        if decoder.frames < ENOUGH_FRAMES:
            return f"{name}: ffmpeg decoded {decoder.frames} frames of at least {ENOUGH_FRAMES}"
        if player is None or player.first_keyframe_s is None:
            return f"{name}: the measuring player got no keyframe"
        if player.closed.done():
            return f"{name}: the measuring player was closed: {player.closed.result()}"
        return None

    def _take(self, message: Message, now: float) -> None:
        if message.type_id != MessageType.VIDEO or self._player is None:
            return
        passed_at = self._tap.passed_at(message.payload)
        # What came from the cache at the start was old then, and says nothing about the way.
        if passed_at is not None and passed_at > self._player.joined_at:
            self._latencies.append(now - passed_at)

    def _note_bitrate(self, now: float, bytes_in: int) -> None:
        span = now - self._measured_at
        if span >= ROUND_S / 2:  # the last round may follow the one before at once
            self._bitrate_bps = 8 * (bytes_in - self._measured_bytes) / span
            self._measured_at, self._measured_bytes = now, bytes_in


class Demo:
    """The encoder and all players. What is started is put on ``stack``, which ends it."""

    def __init__(
        self, cluster: LocalCluster, program: Path, stream: str, stack: AsyncExitStack
    ) -> None:
        self._cluster = cluster
        self._stream = stream
        self._stack = stack
        host, _, port = cluster.origins[0].info.rtmp.rpartition(":")
        self.url = f"rtmp://{host}:{port}/{stream}"
        self._tap = Tap(host, int(port))
        self._program = program
        self._publisher: FfmpegProcess | None = None
        self.edges = [EdgeWatch(node, stream, program, self._tap) for node in cluster.edges]
        self._session: aiohttp.ClientSession | None = None

    @property
    def publisher_ended(self) -> bool:
        """Whether the encoder is gone."""
        return self._publisher is None or self._publisher.exit_code is not None

    async def publish(self) -> None:
        """Start the encoder and wait until pictures come of it; raises `FfmpegError`."""
        await self._stack.enter_async_context(self._tap)
        self._publisher = FfmpegProcess(
            self._program, test_picture(f"rtmp://{HOST}:{self._tap.port}/{self._stream}")
        )
        self._stack.push_async_callback(self._publisher.stop)
        await self._publisher.start()
        seeing = asyncio.ensure_future(self._tap.video_seen.wait())
        ending = asyncio.ensure_future(self._publisher.ended())
        try:
            await asyncio.wait(
                {seeing, ending}, timeout=PUBLISH_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            seeing.cancel()
            ending.cancel()
        if not self._tap.video_seen.is_set():
            raise FfmpegError(self._publisher_problem())

    async def play(self) -> None:
        """Start the players."""
        timeout = aiohttp.ClientTimeout(total=ADMIN_TIMEOUT_S)
        self._session = await self._stack.enter_async_context(
            aiohttp.ClientSession(timeout=timeout)
        )
        for edge in self.edges:
            await edge.start(self._stack)

    async def figures(self, elapsed_s: float) -> DemoFigures:
        """Return the figures of now."""
        edges = await asyncio.gather(*(self._edge_figures(edge) for edge in self.edges))
        origins = await asyncio.gather(*(self._origin_figures(n) for n in self._cluster.origins))
        return DemoFigures(elapsed_s=elapsed_s, edges=tuple(edges), origins=tuple(origins))

    def problems(self) -> list[str]:
        """Return a sentence for everything that is not as it should be."""
        if self.publisher_ended:
            return [self._publisher_problem()]
        return [problem for edge in self.edges if (problem := edge.problem())]

    async def _edge_figures(self, edge: EdgeWatch) -> EdgeFigures:
        figures = edge.figures()
        assert self._session is not None
        admin = edge.node.info.admin
        try:
            status = await fetch_status(self._session, admin)
            metrics = await fetch_metrics(self._session, admin)
        except (aiohttp.ClientError, TimeoutError):
            return figures  # it is being restarted, perhaps
        relays = metrics.value("headwater_relays", state="streaming", source="origin")
        return replace(figures, viewers=status["viewers"], relays=int(relays))

    async def _origin_figures(self, node: LocalNode) -> OriginFigures:
        assert self._session is not None
        try:
            status = await fetch_status(self._session, node.info.admin)
            metrics = await fetch_metrics(self._session, node.info.admin)
        except (aiohttp.ClientError, TimeoutError):
            return OriginFigures(name=node.info.id)
        relays = int(metrics.value("headwater_viewers", kind="relay"))
        return OriginFigures(name=node.info.id, publishers=status["publishers"], relays=relays)

    def _publisher_problem(self) -> str:
        publisher = self._publisher
        if publisher is None or publisher.exit_code is None:
            return f"ffmpeg has published no picture within {PUBLISH_TIMEOUT_S:g} s"
        code, words = publisher.exit_code, publisher.explain()
        return f"the publishing ffmpeg ({self._program}) ended ({code}): {words}"
