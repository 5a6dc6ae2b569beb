"""Two seconds of a stream through the chunk layer."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from common.rtmp.chunk_reader import ChunkReader
from common.rtmp.limits import RtmpLimits
from common.stream.blocks import OutputSpec
from tests.bench.micro.streams import chunks_of, load_clip, packets_of
from tests.support.chunks import set_chunk_size

CLIP = load_clip()
READ_BYTES = 4096
"""What a read of a publisher's socket usually brings: a picture."""


@pytest.mark.parametrize("chunk_size", [128, 4096, 65_536])
def test_chunk_reader(benchmark: BenchmarkFixture, chunk_size: int) -> None:
    wire = set_chunk_size(chunk_size) + chunks_of(CLIP, chunk_size)
    reads = [wire[at : at + READ_BYTES] for at in range(0, len(wire), READ_BYTES)]

    def read_all() -> int:
        reader = ChunkReader(RtmpLimits())
        return sum(len(reader.feed(data)) for data in reads)

    assert benchmark(read_all) >= len(CLIP.media)


@pytest.mark.parametrize("chunk_size", [4096, 65_536])
def test_chunk_writer(benchmark: BenchmarkFixture, chunk_size: int) -> None:
    spec = OutputSpec(chunk_size=chunk_size)
    packets = packets_of(CLIP)

    def write_all() -> int:
        return len(spec.block(packets).data)

    assert benchmark(write_all) > sum(len(packet.payload) for packet in packets)
