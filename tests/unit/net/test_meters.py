"""What a worker measures once a second."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from common import metrics
from common.ids import StreamKey
from common.media.packet import Role
from common.net import meters
from common.net.meters import Meters
from common.stream.live import LiveStream
from common.stream.viewer import ViewerKind
from tests.support.fanout import FakeViewer, Fanout
from tests.support.rtmp_node import STREAM, Node, running_node
from tests.support.wait import until


class Bench:
    """Meters over streams in memory, on a clock that stands still."""

    def __init__(self, node: Node, **options: Any) -> None:
        self.fanout = Fanout()
        self.streams: list[LiveStream] = [self.fanout.stream]
        services = replace(node.services, now=self.fanout.loop.time)
        self.meters = Meters(
            services,
            self.fanout.flusher,
            streams=lambda: self.streams,
            ingress_bytes=lambda: 0,
            **options,
        )

    def second(self) -> None:
        self.fanout.loop.now += 1
        self.meters.measure()

    def watch(self, kind: ViewerKind) -> FakeViewer:
        viewer = FakeViewer(kind=kind)
        self.fanout.attach(viewer)
        return viewer


def value_of(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(f"headwater_{name}", labels) or 0.0


def counting(name: str, **labels: str) -> Callable[[], float]:
    """Returns what tells by how much a counter has grown since now."""
    before = value_of(name, **labels)
    return lambda: value_of(name, **labels) - before


@pytest.mark.parametrize("push_bytes", [1000, 5000])
async def test_loads_tell_bitrate_viewers_and_codecs_of_each_stream(push_bytes: int) -> None:
    async with running_node() as node:
        bench = Bench(node)
        bench.fanout.push(Role.VIDEO_HEADER, b"")
        bench.fanout.push(Role.KEYFRAME, bytes(push_bytes))
        for kind in (ViewerKind.PLAYER, ViewerKind.PLAYER, ViewerKind.RELAY, ViewerKind.SIBLING):
            bench.watch(kind)
        bench.second()
        load = bench.meters.loads[STREAM]
        assert load.bitrate_bps == push_bytes * 8
        assert load.viewers == 3, "a sibling counts its own"
        assert load.codecs == ("avc1",)
        assert value_of("viewers", kind="player") == 2
        assert value_of("viewers", kind="sibling") == 1
        bench.second()
        assert bench.meters.loads[STREAM].bitrate_bps == 0


async def test_edge_leaves_viewers_to_be_counted_by_the_edges_that_relay_from_it() -> None:
    async with running_node() as node:
        bench = Bench(node, counted=(ViewerKind.PLAYER,))
        for kind in (ViewerKind.PLAYER, ViewerKind.RELAY, ViewerKind.SIBLING):
            bench.watch(kind)
        bench.second()
        assert bench.meters.loads[STREAM].viewers == 1
        assert value_of("viewers", kind="relay") == 1


async def test_messages_are_counted_once_each_way() -> None:
    async with running_node() as node:
        bench = Bench(node)
        came = counting("messages_in_total", type="video")
        went = counting("messages_out_total", type="video")
        bench.watch(ViewerKind.PLAYER)
        bench.watch(ViewerKind.PLAYER)
        bench.fanout.push(Role.KEYFRAME, b"K")
        bench.fanout.push(Role.FRAME, b"F")
        bench.fanout.flush()
        bench.second()
        bench.second()
        assert (came(), went()) == (2, 4)


async def test_a_stream_that_begins_anew_is_counted_from_its_beginning() -> None:
    async with running_node() as node:
        bench = Bench(node)
        came = counting("messages_in_total", type="audio")
        for _ in range(10):
            bench.fanout.push(Role.AUDIO, b"A")
        bench.second()
        bench.fanout.stream = bench.streams[0] = bench.fanout.new_stream(STREAM)
        bench.fanout.push(Role.AUDIO, bytes(5000))  # fewer messages, but more bytes
        bench.second()
        assert came() == 11
        bench.streams.clear()
        bench.second()
        assert StreamKey(STREAM) not in bench.meters.loads


async def test_slow_viewers_are_minded() -> None:
    async with running_node() as node:
        bench = Bench(node)
        bench.fanout.push(Role.KEYFRAME, b"K")
        bench.fanout.flush()
        slow = bench.watch(ViewerKind.PLAYER)
        slow.sink.room = 0
        slow.owner.on_kick = bench.fanout.stream.detach
        skipped = counting("skipped_gops_total")
        for _ in range(8):
            bench.fanout.push(Role.FRAME, bytes(1000))
            bench.fanout.flush()
            bench.second()
        assert skipped() == 1
        assert value_of("lagging_viewers") == 1
        assert value_of("viewer_lag_seconds") > 3
        for _ in range(12):
            bench.second()
        assert slow.owner.kicked == ["too_slow"]
        bench.second()
        assert value_of("lagging_viewers") == 0


async def test_measuring_goes_on_when_one_figure_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(meters, "PERIOD_S", 0.0)
    asked: list[str] = []

    def broken() -> None:
        raise ValueError("a bug")

    async with running_node() as node:
        running = asyncio.ensure_future(Bench(node).meters.run(broken, lambda: asked.append("x")))
        await until(lambda: len(asked) > 1)
        running.cancel()
    assert "measuring failed" in caplog.text
