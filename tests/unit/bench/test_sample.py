"""A sampled player sees what it is there to see."""

from collections.abc import Iterable

import pytest

from common.media.flv_file import FlvTag
from common.rtmp.message import Message, MessageType
from tests.bench.clip import Clip
from tests.bench.players.sample import Sample
from tests.bench.stamp import stamp, unstamp

AUDIO, VIDEO, DATA = MessageType.AUDIO, MessageType.VIDEO, MessageType.DATA_AMF0


def picture(number: int) -> bytes:
    first = 0x17 if number % 5 == 0 else 0x27
    return bytes((first, 1, 0, 0, 0)) + b"picture %d" % number


CLIP = Clip(
    prelude=(),
    media=tuple(
        tag
        for number in range(10)
        for tag in (
            FlvTag(VIDEO, number * 40, picture(number)),
            FlvTag(AUDIO, number * 40 + 20, b"\xaf\x01sound %d" % number + bytes(32)),
        )
    ),
    duration_ms=400,
)
PRELUDE = [
    Message(DATA, 0, 1, b"\x02\x00\x0aonMetaData\x08"),
    Message(VIDEO, 0, 1, b"\x17\x00\x00\x00\x00avcC"),
    Message(AUDIO, 0, 1, b"\xaf\x00\x12\x10"),
]


def messages(numbers: Iterable[int], offset: int = 0) -> list[Message]:
    tags = map(CLIP.message, numbers)
    return [Message(tag.type_id, tag.timestamp + offset, 1, tag.payload) for tag in tags]


def sample_of(received: Iterable[Message], **options: bool) -> Sample:
    sample = Sample(CLIP, **options)
    for message in received:
        sample.take(message, 0.0)
    return sample


def test_a_stamp_comes_off_again_and_tells_the_time() -> None:
    stamped = stamp(picture(0))
    sent_ns, payload = unstamp(stamped)
    assert sent_ns is not None
    assert payload == picture(0)
    assert unstamp(picture(0)) == (None, picture(0))


def test_latency_is_the_time_from_the_stamp_to_the_arrival() -> None:
    sent = Message(VIDEO, 0, 1, stamp(picture(0)))
    sent_ns, _ = unstamp(sent.payload)
    assert sent_ns is not None
    sample = Sample(CLIP)
    for message in PRELUDE:
        sample.take(message, 0.0)
    sample.take(sent, sent_ns / 1e9 + 0.25)
    assert sample.errors == []
    assert sample.latencies_ms == [pytest.approx(250)]


@pytest.mark.parametrize("first", [0, 10, 30])
def test_what_was_published_passes_from_any_keyframe_on_and_through_loops(first: int) -> None:
    sample = sample_of(PRELUDE + messages(range(first, 90), offset=7000))
    assert sample.errors == []
    assert sample.skips == 0


DAMAGE = {
    "a missing picture": (PRELUDE + messages([0, 1, 3, 4, 5]), "wanted message 2 (type 9"),
    "missing sound": (PRELUDE + messages([0, 2, 3]), "wanted message 1 (type 8"),
    "a missing loop": (PRELUDE + messages([*range(10), *range(30, 40)]), "wanted message 10"),
    "a repetition": (PRELUDE + messages([0, 1, 1, 2]), "wanted message 2 (type 9"),
    "no headers": (PRELUDE[:1] + messages([0, 1]), "without AUDIO_HEADER, VIDEO_HEADER"),
    "no keyframe": (PRELUDE + messages([2, 3]), "begins with FRAME"),
    "time that goes back": (
        PRELUDE + messages([0, 1, 2]) + messages([4], offset=-60),
        "goes back: 40, 20",
    ),
    "other bytes": ([*PRELUDE, Message(VIDEO, 0, 1, picture(0) + b"!")], "no keyframe of the clip"),
    "another clock": (PRELUDE + messages([0, 1]) + messages([2, 3], offset=1), "wanted message 2"),
}


@pytest.mark.parametrize(("received", "error"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_seen(received: list[Message], error: str) -> None:
    assert error in "; ".join(sample_of(received).errors)


def test_a_skip_to_a_keyframe_is_no_error_for_a_player_that_stalled() -> None:
    received = PRELUDE + messages([*range(7), *range(30, 50)])
    allowed = sample_of(received, may_skip=True)
    assert (allowed.errors, allowed.skips) == ([], 1)
    assert sample_of(received).errors != []
    off_the_clock = PRELUDE + messages(range(7)) + messages(range(30, 50), offset=3)
    assert "off the clock by 3 ms" in sample_of(off_the_clock, may_skip=True).errors[0]
