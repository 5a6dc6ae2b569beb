import pytest

from common.errors import ChunkError
from common.rtmp.aggregate import expand
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message

LIMITS = RtmpLimits()


def tag(type_id: int, time: int, body: bytes, *, stream_id: int = 9) -> bytes:
    header = bytes((type_id,)) + len(body).to_bytes(3, "big")
    header += (time & 0xFFFFFF).to_bytes(3, "big") + bytes((time >> 24,))
    header += stream_id.to_bytes(3, "big")
    return header + body + (11 + len(body)).to_bytes(4, "big")


def expanded(payload: bytes, *, at: int = 1000, limits: RtmpLimits = LIMITS) -> list[Message]:
    return expand(Message(22, at, 1, payload), limits)


def test_c38_times_are_moved_and_the_outer_stream_counts() -> None:
    payload = tag(8, 50, b"a") + tag(9, 70, b"v") + tag(18, 45, b"")
    assert expanded(payload) == [
        Message(8, 1000, 1, b"a"),
        Message(9, 1020, 1, b"v"),
        Message(18, 995, 1, b""),
    ]


def test_c38_times_have_their_high_byte_last_and_wrap() -> None:
    payload = tag(8, 0x01000000, b"a") + tag(8, 0x01000020, b"b")
    assert [m.timestamp for m in expanded(payload, at=0xFFFFFFF0)] == [0xFFFFFFF0, 0x10]


@pytest.mark.parametrize("missing", [1, 2, 3, 4])
def test_c38_the_last_back_pointer_may_be_missing(missing: int) -> None:
    assert len(expanded((tag(8, 0, b"a") + tag(9, 0, b"v"))[:-missing])) == 2


def test_an_empty_aggregate_is_no_message() -> None:
    assert expanded(b"") == []


def test_c36_other_types_are_skipped_but_the_first_sets_the_time() -> None:
    payload = tag(1, 40, bytes(4)) + tag(20, 45, b"x") + tag(8, 50, b"a")
    assert expanded(payload) == [Message(8, 1010, 1, b"a")]


@pytest.mark.parametrize(
    "payload",
    [
        tag(8, 0, b"a") + tag(22, 0, tag(8, 0, b"a")),
        tag(8, 0, b"a") + b"\x08\x00",
        tag(8, 0, b"abc")[:-6],
        b"\x08\xff\xff\xff" + bytes(7),
    ],
    ids=["c38 nested", "header cut off", "body cut off", "size too large"],
)
def test_broken_aggregates_are_refused(payload: bytes) -> None:
    with pytest.raises(ChunkError) as caught:
        expanded(payload)
    assert caught.value.reason == "bad_aggregate"


def test_the_number_of_messages_is_bounded() -> None:
    limits = RtmpLimits(max_aggregate_messages=3)
    assert len(expanded(tag(8, 0, b"") * 3, limits=limits)) == 3
    with pytest.raises(ChunkError):
        expanded(tag(1, 0, b"") * 4, limits=limits)


def test_a_data_message_inside_keeps_to_its_own_cap() -> None:
    with pytest.raises(ChunkError) as caught:
        expanded(tag(18, 0, bytes(301)), limits=RtmpLimits(max_command_bytes=300))
    assert caught.value.reason == "message_too_large"
