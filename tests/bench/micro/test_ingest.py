"""Two seconds of a stream, from the read of a socket to the write of the next one.

What one message costs on its way in is a figure divided by `len(CLIP.media)`, 154.
"""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.bench.micro.ingest import Publish, Relay, publisher_reads, relay_reads
from tests.bench.micro.streams import load_clip

CLIP = load_clip()


@pytest.mark.parametrize("chunk_size", [128, 4096, 65_536])
def test_publish(benchmark: BenchmarkFixture, chunk_size: int) -> None:
    """Encoders send in chunks of 128 bytes, OBS of 4096, ffmpeg of whatever we have announced."""
    _measure(benchmark, Publish(CLIP), publisher_reads(CLIP, chunk_size))


def test_relay(benchmark: BenchmarkFixture) -> None:
    _measure(benchmark, Relay(CLIP), relay_reads(CLIP))


def _measure(benchmark: BenchmarkFixture, worker: Publish | Relay, reads: list[bytes]) -> None:
    def receive_all() -> None:
        worker.out.written.clear()
        for data in reads:
            worker.receive(data)

    benchmark(receive_all)
    # The clip begins again with each round, and its time goes on: nothing is dropped for it.
    written = sum(map(len, worker.out.written))
    assert written > sum(len(tag.payload) for tag in CLIP.media)
