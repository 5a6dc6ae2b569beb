"""A flush: one message to 1,000 viewers, whose sockets do nothing."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from common.config.model import FanoutSettings
from common.stream.blocks import OutputSpec
from common.stream.viewer import Viewer, ViewerKind
from tests.bench.micro.streams import load_clip, packets_of
from tests.support.fanout import FakeOwner, Fanout

VIEWERS = 1000
PACKETS = packets_of(load_clip())


class Sink:
    """A transport, and its socket, that take everything at once."""

    def __init__(self) -> None:
        self.writes = 0

    def send(self, data: bytes) -> int:
        self.writes += 1
        return len(data)

    def write(self, data: bytes | memoryview) -> None:
        self.writes += 1

    def get_write_buffer_size(self) -> int:
        return 0


@pytest.mark.parametrize("messages", [1, 8])
def test_flush(benchmark: BenchmarkFixture, messages: int) -> None:
    """A block of one message, and of as many as come within 100 ms."""
    fanout = Fanout(FanoutSettings(max_interval_ms=0))
    sinks = [Sink() for _ in range(VIEWERS)]
    owner = FakeOwner()
    for packet in PACKETS:
        fanout.stream.push(packet)
    fanout.flush()
    spec = OutputSpec(chunk_size=65_536)
    for sink in sinks:
        viewer = Viewer(sink, ViewerKind.PLAYER, owner, socket=sink)
        fanout.stream.attach(viewer, spec, fanout.loop.now)
    number = 0

    def flush() -> None:
        nonlocal number
        for _ in range(messages):
            fanout.stream.push(PACKETS[number % len(PACKETS)])
            number += 1
        fanout.flush()

    before = sinks[0].writes
    benchmark(flush)
    assert sinks[0].writes == sinks[-1].writes > before
