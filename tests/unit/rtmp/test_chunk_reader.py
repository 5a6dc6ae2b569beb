import pytest

from common.errors import ChunkError
from common.rtmp.chunk_reader import ChunkReader
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message
from tests.support.chunks import (
    CompressingWriter,
    Habit,
    abort,
    basic_header,
    raw_chunk,
    set_chunk_size,
)

LIMITS = RtmpLimits()


def read(*wire: bytes, limits: RtmpLimits = LIMITS) -> list[Message]:
    """Read all of it at once, byte by byte and in odd pieces: the messages must be the same."""
    data = b"".join(wire)
    whole = ChunkReader(limits).feed(data)
    for step in (1, 7):
        reader = ChunkReader(limits)
        pieces = [data[at : at + step] for at in range(0, len(data), step)]
        assert [message for piece in pieces for message in reader.feed(piece)] == whole
    return whole


def refused(*wire: bytes, limits: RtmpLimits = LIMITS) -> str:
    """Return the reason for which the last of ``wire`` is refused; what is before it is fine."""
    reader = ChunkReader(limits)
    reader.feed(b"".join(wire[:-1]))
    with pytest.raises(ChunkError) as by_the_byte:
        feed_by_the_byte(reader, wire[-1])
    with pytest.raises(ChunkError) as at_once:
        ChunkReader(limits).feed(b"".join(wire))
    assert at_once.value.reason == by_the_byte.value.reason
    return at_once.value.reason


def feed_by_the_byte(reader: ChunkReader, data: bytes) -> None:
    for at in range(len(data)):
        reader.feed(data[at : at + 1])


def times(messages: list[Message]) -> list[int]:
    return [message.timestamp for message in messages]


# Basic and message headers.


@pytest.mark.parametrize("csid", [2, 63, 64, 319, 320, 65599])
def test_c10_every_form_of_csid_is_read(csid: int) -> None:
    message = Message(9, 40, 1, b"abc")
    assert read(raw_chunk(0, csid, b"abc", time=40)) == [message]


@pytest.mark.parametrize("first", [b"\x01\x00\x00", b"\x01\xff\xff"])
def test_c10_the_three_byte_form_is_little_endian(first: bytes) -> None:
    csid = 64 + int.from_bytes(first[1:], "little")
    opened = raw_chunk(0, csid, bytes(128), length=130)
    continued = b"\xc1" + first[1:] + b"yz"
    (message,) = read(opened, continued)
    assert message.payload == bytes(128) + b"yz"


def test_c10_a_csid_may_be_written_in_a_longer_form() -> None:
    assert basic_header(3, 70) == b"\xc0\x06"
    long_form = b"\xc1\x06\x00"
    (message,) = read(raw_chunk(0, 70, bytes(128), length=129), long_form, b"z")
    assert len(message.payload) == 129


def test_c11_media_on_csid_64_is_accepted() -> None:
    assert len(read(raw_chunk(0, 64, b"x"), raw_chunk(1, 64, b"y", time=20))) == 2


def test_all_fields_of_a_full_header() -> None:
    wire = raw_chunk(0, 4, b"abc", time=0x010203, type_id=8, stream_id=0x04030201)
    assert read(wire) == [Message(8, 0x010203, 0x04030201, b"abc")]


def test_c12_one_chunk_stream_too_many_is_refused() -> None:
    limits = RtmpLimits(max_chunk_streams=3)
    opened = [raw_chunk(0, csid, b"x") for csid in (3, 4, 60_000)]
    again = [raw_chunk(3, csid, b"x") for csid in (3, 4, 60_000)]
    assert len(read(*opened, *again, limits=limits)) == 6
    assert refused(*opened, raw_chunk(0, 5), limits=limits) == "too_many_chunk_streams"


@pytest.mark.parametrize("type_id", [2, 3, 8])
def test_a_read_of_too_many_messages_is_refused_whatever_they_are(type_id: int) -> None:
    limits = RtmpLimits(max_messages_per_read=100)
    flood = b"\xc5" * 99  # fmt 3 again and again: an empty message for each byte
    first = raw_chunk(0, 5, type_id=type_id)
    reader = ChunkReader(limits)
    for _ in range(3):  # the limit is one of each read
        reader.feed(first + flood)
    with pytest.raises(ChunkError, match="message_flood"):
        reader.feed(first + flood + b"\xc5")


def test_what_the_reader_obeys_counts_among_the_messages_of_a_read() -> None:
    limits = RtmpLimits(max_messages_per_read=100)
    obeyed = set_chunk_size(4096) * 40
    media = raw_chunk(0, 5) + b"\xc5" * 59
    assert len(ChunkReader(limits).feed(obeyed + media)) == 60
    with pytest.raises(ChunkError, match="message_flood"):
        ChunkReader(limits).feed(obeyed + media + b"\xc5")


def test_c13_fmt_1_may_open_a_chunk_stream() -> None:
    wire = raw_chunk(1, 2, b"\x00\x03" + bytes(8), time=7, type_id=4)
    assert read(wire) == [Message(4, 7, 0, b"\x00\x03" + bytes(8))]


@pytest.mark.parametrize("fmt", [2, 3])
def test_c13_fmt_2_and_3_may_not_open_a_chunk_stream(fmt: int) -> None:
    assert refused(raw_chunk(0, 3, b"x"), raw_chunk(fmt, 4)) == "no_full_header"


def test_fmt_2_inherits_length_type_and_stream() -> None:
    wire = raw_chunk(0, 4, b"ab", time=10, type_id=8, stream_id=5), raw_chunk(2, 4, b"cd", time=3)
    assert read(*wire)[1] == Message(8, 13, 5, b"cd")


def test_an_empty_message_is_read() -> None:  # conformance 35
    wire = raw_chunk(0, 4, b"", type_id=8), raw_chunk(3, 4), raw_chunk(1, 4, b"x", type_id=9)
    assert [message.payload for message in read(*wire)] == [b"", b"", b"x"]


# Time.


@pytest.mark.parametrize("fmt", [1, 2])
def test_c14_fmt_3_adds_the_last_delta(fmt: int) -> None:
    opened = raw_chunk(0, 4, b"a", time=1000)
    assert times(read(opened, raw_chunk(fmt, 4, b"b", time=20), raw_chunk(3, 4, b"c"))) == [
        1000,
        1020,
        1040,
    ]


def test_c15_fmt_3_after_fmt_0_adds_its_time() -> None:
    # FMLE sends 26 and then fmt 3 for 52.
    wire = raw_chunk(0, 4, b"a", time=26), raw_chunk(3, 4, b"b"), raw_chunk(3, 4, b"c")
    assert times(read(*wire)) == [26, 52, 78]


@pytest.mark.parametrize(
    ("time", "then"), [(0, 0), (10_000, 20_000), (10_001, 10_001), (0x1000000, 0x1000000)]
)
def test_c15_fmt_3_after_a_late_fmt_0_is_old_librtmp_repeating_the_time(
    time: int, then: int
) -> None:
    again = raw_chunk(3, 4, b"b", extended=time if time >= 0xFFFFFF else None)
    assert times(read(raw_chunk(0, 4, b"a", time=time), again)) == [time, then]


def test_old_librtmp_with_equal_times_is_read_right() -> None:
    writer = CompressingWriter(habit=Habit.OLD_LIBRTMP)
    messages = [Message(8, time, 1, b"ab") for time in (60_000, 60_000, 60_023)]
    assert read(*(writer.write(message, 4) for message in messages)) == messages


def test_c16_a_message_of_several_chunks_may_begin_with_fmt_3() -> None:
    payload = bytes(range(250)) * 2
    first = CompressingWriter().write(Message(9, 40, 1, payload), 6)
    second = b"".join(raw_chunk(3, 6, payload[at : at + 128]) for at in range(0, 500, 128))
    assert read(first, second) == [Message(9, 40, 1, payload), Message(9, 80, 1, payload)]


@pytest.mark.parametrize("time", [0xFFFFFE, 0xFFFFFF, 0x1000000, 0x7FFFFFFF, 0xFFFFFFFF])
def test_c19_an_extended_time_of_fmt_0_is_absolute(time: int) -> None:
    before = raw_chunk(0, 4, b"a", time=5)
    assert times(read(before, raw_chunk(0, 4, b"b", time=time)))[1] == time


@pytest.mark.parametrize("fmt", [1, 2])
def test_c20_an_extended_time_of_fmt_1_and_2_is_a_delta(fmt: int) -> None:
    wire = raw_chunk(0, 4, b"a", time=5), raw_chunk(fmt, 4, b"b", time=0x1000000)
    assert times(read(*wire)) == [5, 0x1000005]


def test_fmt_3_repeats_an_extended_delta() -> None:
    wire = raw_chunk(0, 4, b"a"), raw_chunk(2, 4, b"b", time=0x1000000)
    assert times(read(*wire, raw_chunk(3, 4, b"c", extended=0x1000000)))[2] == 0x2000000


def test_fmt_3_may_bring_another_extended_delta() -> None:
    # ffmpeg compares the 3-byte fields only, and those are both FFFFFF.
    wire = raw_chunk(0, 4, b"a"), raw_chunk(2, 4, b"b", time=0x1000000)
    assert times(read(*wire, raw_chunk(3, 4, b"c", extended=0x1000001)))[2] == 0x2000001


def test_a_short_time_ends_the_extension() -> None:
    wire = raw_chunk(0, 4, b"a", time=0x1000000), raw_chunk(2, 4, b"b", time=1)
    assert times(read(*wire, raw_chunk(3, 4, b"c"))) == [0x1000000, 0x1000001, 0x1000002]


PAYLOAD = bytes(range(32, 232)) * 2


@pytest.mark.parametrize("time", [0xFFFFFF, 0x1000000, 0x7FFFFFFF, 0xFFFFFFF0])
@pytest.mark.parametrize("repeats", [True, False], ids=["c21 repeated", "c22 left out"])
def test_c21_c22_extended_time_in_continuations(time: int, repeats: bool) -> None:
    writer = CompressingWriter(repeats_extended=repeats)
    messages = [Message(9, time, 1, PAYLOAD), Message(8, time, 1, PAYLOAD[:300])]
    assert read(*(writer.write(message, 4) for message in messages)) == messages


def test_c21_the_repeated_time_may_be_the_absolute_one() -> None:
    opened = raw_chunk(0, 4, b"a", time=5)
    begun = raw_chunk(2, 4, PAYLOAD[:1], time=0x1000000)
    assert read(opened, begun)[1].timestamp == 0x1000005
    begun = raw_chunk(1, 4, PAYLOAD[:128], time=0x1000000, length=130)
    assert read(opened, begun, raw_chunk(3, 4, b"yz", extended=0x1000005))[1].payload == (
        PAYLOAD[:128] + b"yz"
    )


@pytest.mark.parametrize("tail", [b"x", b"xy", b"\x00", b"\x01\x00\x00\x01"])
def test_c22_a_short_last_chunk_without_the_time_is_not_waited_for(tail: bytes) -> None:
    begun = raw_chunk(0, 4, PAYLOAD[:128], time=0x1000000, length=128 + len(tail))
    assert read(begun, raw_chunk(3, 4, tail))[0].payload == PAYLOAD[:128] + tail


def test_c22_bytes_that_could_be_the_time_are_decided_by_the_next() -> None:
    begun = raw_chunk(0, 4, PAYLOAD[:128], time=0x1000000, length=129)
    (first, second) = read(begun, raw_chunk(3, 4, b"\x01"), raw_chunk(0, 4, b"next"))
    assert (first.payload[-1:], second.payload) == (b"\x01", b"next")


def test_c27_time_wraps_at_32_bits() -> None:
    wire = raw_chunk(0, 4, b"a", time=0xFFFFFFF0), raw_chunk(2, 4, b"b", time=0x20)
    assert times(read(*wire)) == [0xFFFFFFF0, 0x10]


# Messages of several chunks.


def test_c17_chunks_of_two_messages_may_alternate() -> None:
    writer = CompressingWriter()
    video, audio = Message(9, 40, 1, PAYLOAD), Message(8, 40, 1, PAYLOAD[::-1])
    alternating = [
        chunk
        for pair in zip(writer.chunks(video, 6), writer.chunks(audio, 4), strict=True)
        for chunk in pair
    ]
    assert read(*alternating) == [video, audio]


BEGUN = raw_chunk(0, 6, bytes(128), time=40, length=200)


def test_c18_a_full_header_inside_a_message_is_refused() -> None:
    assert refused(BEGUN, raw_chunk(0, 6, bytes(72), time=40, length=200)) == "header_in_message"


@pytest.mark.parametrize("changed", [{"length": 201}, {"length": 72}, {"type_id": 8}])
def test_c18_another_length_or_type_inside_a_message_is_refused(changed: dict[str, int]) -> None:
    wanted = {"length": 200, "type_id": 9} | changed
    header = raw_chunk(1, 6, b"", **wanted)
    assert refused(BEGUN, header) == "header_in_message"


@pytest.mark.parametrize("time", [0, 33, 0x1000000])
@pytest.mark.parametrize("fmt", [1, 2])
def test_fmt_1_and_2_that_change_nothing_go_on_with_the_message(fmt: int, time: int) -> None:
    wire = BEGUN, raw_chunk(fmt, 6, bytes(72), time=time, length=200)
    assert read(*wire, raw_chunk(2, 6, bytes(128), time=1), raw_chunk(3, 6, bytes(72))) == [
        Message(9, 40, 1, bytes(200)),
        Message(9, 41, 1, bytes(200)),
    ]


# Set Chunk Size and Abort.


def test_c28_chunk_size_may_come_first() -> None:
    payload = bytes(4000)
    assert read(set_chunk_size(4096), raw_chunk(0, 3, payload, type_id=20)) == [
        Message(20, 0, 1, payload)
    ]


def test_c29_chunk_size_holds_at_once_for_messages_under_way() -> None:
    wire = BEGUN[:], set_chunk_size(4096), raw_chunk(3, 6, b"z" * 72)
    (message,) = read(*wire)
    assert message.payload == bytes(128) + b"z" * 72
    long = raw_chunk(0, 6, bytes(128), length=600)
    (message,) = read(long, set_chunk_size(256), raw_chunk(3, 6, bytes(256)), b"\xc6", bytes(216))
    assert len(message.payload) == 600


def test_c29_chunk_size_may_shrink_within_a_message() -> None:
    wire = set_chunk_size(300), raw_chunk(0, 6, bytes(300), length=500), set_chunk_size(128)
    (message,) = read(*wire, raw_chunk(3, 6, bytes(128)), raw_chunk(3, 6, bytes(72)))
    assert len(message.payload) == 500


@pytest.mark.parametrize("size", [0, 1, 127, 0x80000000, 0x80001000, 0xFFFFFFFF])
def test_c30_bad_chunk_sizes_are_refused(size: int) -> None:
    assert refused(set_chunk_size(size)) == "bad_chunk_size"


@pytest.mark.parametrize("size", [65536, 0xFFFFFF, 0x7FFFFFFF])
def test_c30_a_huge_chunk_size_allocates_nothing_and_works(size: int) -> None:
    payload = bytes(70_000)
    wire = [set_chunk_size(size), raw_chunk(0, 6, payload[:65536], length=70_000)]
    if size == 65536:
        wire.append(b"\xc6")
    reader = ChunkReader(LIMITS)
    assert reader.feed(b"".join([*wire, payload[65536:]])) == [Message(9, 0, 1, payload)]


def test_a_chunk_size_that_is_cut_short_is_ignored() -> None:
    short = raw_chunk(0, 2, b"\x00\x10", type_id=1)
    assert len(read(short, raw_chunk(0, 6, bytes(128), length=129), raw_chunk(3, 6, b"z"))) == 1


@pytest.mark.parametrize("csid", [3, 4, 5, 6, 64])
def test_c33_control_messages_count_on_any_chunk_stream(csid: int) -> None:
    wire = set_chunk_size(256, csid), raw_chunk(0, 8, bytes(200)), abort(8, csid)
    assert len(read(*wire)) == 1


def test_c32_abort_drops_the_unfinished_message_only() -> None:
    other = raw_chunk(0, 4, bytes(128), type_id=8, length=130)
    wire = BEGUN, other, abort(6), raw_chunk(3, 4, b"yz")
    later = raw_chunk(2, 6, bytes(128), time=1), raw_chunk(3, 6, bytes(72))
    assert read(*wire, *later) == [
        Message(8, 0, 1, bytes(128) + b"yz"),
        Message(9, 41, 1, bytes(200)),
    ]


@pytest.mark.parametrize("target", [6, 7, 0xFFFFFFFF])
def test_c32_abort_of_nothing_is_ignored(target: int) -> None:
    short = raw_chunk(0, 2, b"\x00", type_id=2)
    assert len(read(raw_chunk(0, 6, b"x"), abort(target), short, raw_chunk(3, 6, b"y"))) == 2


def test_c36_unknown_types_are_returned_for_others_to_skip() -> None:
    assert [m.type_id for m in read(raw_chunk(0, 3, b"x", type_id=0), raw_chunk(0, 3, type_id=99))]


# Limits.

SMALL = RtmpLimits(max_message_bytes=1000, max_command_bytes=300, max_partial_bytes=1500)


@pytest.mark.parametrize(
    ("type_id", "cap"), [(8, 1000), (9, 1000), (22, 1000), (18, 300), (20, 300), (4, 300), (7, 300)]
)
def test_c34_a_message_over_its_cap_is_refused_by_its_header_alone(type_id: int, cap: int) -> None:
    payload = bytes(cap)
    assert len(read(set_chunk_size(4096), raw_chunk(0, 6, payload, type_id=type_id), limits=SMALL))
    header = raw_chunk(0, 6, length=cap + 1, type_id=type_id)
    assert refused(header, limits=SMALL) == "message_too_large"


def test_c34_fmt_1_cannot_turn_a_long_message_into_a_command() -> None:
    video = set_chunk_size(4096), raw_chunk(0, 6, bytes(1000))
    header = raw_chunk(1, 6, length=1000, type_id=20)
    assert refused(*video, header, limits=SMALL) == "message_too_large"


def test_unfinished_messages_together_are_bounded() -> None:
    opened = [raw_chunk(0, csid, bytes(900), length=1000) for csid in (4, 5)]
    wire = [set_chunk_size(900), *opened]
    assert refused(*wire, limits=SMALL) == "partial_messages_too_large"
    assert len(read(*wire[:2], raw_chunk(3, 4, bytes(100)), wire[2], limits=SMALL)) == 1
    assert read(*wire[:2], abort(4), wire[2], limits=SMALL) == []


def test_a_peer_that_sends_byte_by_byte_holds_no_more_than_the_bytes() -> None:
    reader = ChunkReader(LIMITS)
    reader.feed(set_chunk_size(1 << 20) + raw_chunk(0, 6, length=1 << 20))
    for _ in range(5000):
        assert reader.feed(b"x") == []
    assert reader.unfinished_bytes == 5000
    reader.feed(bytes((1 << 20) - 5000))
    assert reader.unfinished_bytes == 0


def test_an_unfinished_message_that_gets_too_little_is_stalled_whatever_else_is_finished() -> None:
    reader = ChunkReader(LIMITS)
    reader.feed(set_chunk_size(1 << 20) + raw_chunk(0, 6, bytes(10), length=1 << 20))
    assert not reader.is_stalled(1024), "it may have begun just now"
    reader.feed(bytes(1024))
    assert not reader.is_stalled(1024)
    reader.feed(bytes(1023))
    assert reader.is_stalled(1024)


def test_another_message_on_the_same_chunk_stream_is_judged_anew() -> None:
    reader = ChunkReader(LIMITS)
    begun = set_chunk_size(1 << 20) + raw_chunk(0, 6, bytes(10), length=20)
    reader.feed(begun)
    assert not reader.is_stalled(1024)
    reader.feed(bytes(10) + begun)
    assert not reader.is_stalled(1024)
    assert reader.is_stalled(1024)
