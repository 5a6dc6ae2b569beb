import pytest

from common.errors import UsageError
from common.rtmp.chunk_reader import ChunkReader
from common.rtmp.chunk_writer import chunk_message
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message
from tests.support.chunks import set_chunk_size


def test_a_short_message_is_one_chunk_with_a_full_header() -> None:
    wire = chunk_message(9, 0x010203, 0x04030201, b"abc", csid=6, chunk_size=128)
    assert wire == bytes.fromhex("06 010203 000003 09 01020304") + b"abc"


def test_a_long_message_is_cut_into_chunks() -> None:
    wire = chunk_message(9, 0, 1, b"a" * 300, csid=6, chunk_size=128)
    header = bytes.fromhex("06 000000 00012c 09 01000000")
    assert wire == header + b"a" * 128 + b"\xc6" + b"a" * 128 + b"\xc6" + b"a" * 44


@pytest.mark.parametrize("length", [0, 127, 128])
def test_no_header_follows_a_full_last_chunk(length: int) -> None:
    assert len(chunk_message(8, 0, 1, bytes(length), csid=4, chunk_size=128)) == 12 + length


def test_c24_every_chunk_repeats_an_extended_time() -> None:
    wire = chunk_message(9, 0x01020304, 1, b"a" * 200, csid=6, chunk_size=128)
    time = bytes.fromhex("01020304")
    header = bytes.fromhex("06 ffffff 0000c8 09 01000000")
    assert wire == header + time + b"a" * 128 + b"\xc6" + time + b"a" * 72


@pytest.mark.parametrize(
    ("timestamp", "on_the_wire"),
    [
        (0xFFFFFE, 0xFFFFFE),
        (0xFFFFFF, 0xFFFFFF),
        (0x1000000, 0x1000000),
        (0x7FFFFFFF, 0x7FFFFFFF),
        (0xFFFFFFFF, 0xFFFFFFFF),
        (0x1_0000_0010, 0x10),
    ],
)
def test_c23_c27_times_come_back_modulo_32_bits(timestamp: int, on_the_wire: int) -> None:
    payload = bytes(range(200))
    wire = chunk_message(9, timestamp, 1, payload, csid=6, chunk_size=128)
    assert ChunkReader(RtmpLimits()).feed(wire) == [Message(9, on_the_wire, 1, payload)]


@pytest.mark.parametrize("step", [-500, 0, 0xFFFFFF, 20])
def test_c25_c26_every_message_has_a_full_header(step: int) -> None:
    for time in (1000, 1000 + step):
        assert chunk_message(9, time, 1, b"x", csid=6, chunk_size=128)[0] >> 6 == 0


def test_a_receiver_may_start_at_any_message() -> None:
    wires = [
        chunk_message(8 + n % 2, n << 22, 1, bytes([n]) * 500, csid=4 + 2 * (n % 2), chunk_size=200)
        for n in range(8)
    ]
    setup = set_chunk_size(200)
    everything = ChunkReader(RtmpLimits()).feed(setup + b"".join(wires))
    for start in range(8):
        reader = ChunkReader(RtmpLimits())
        assert reader.feed(setup + b"".join(wires[start:])) == everything[start:]


@pytest.mark.parametrize(("csid", "length"), [(1, 0), (64, 0), (6, 0x1000000)])
def test_what_cannot_be_written_is_a_usage_error(csid: int, length: int) -> None:
    with pytest.raises(UsageError):
        chunk_message(9, 0, 1, bytes(length), csid=csid, chunk_size=4096)
