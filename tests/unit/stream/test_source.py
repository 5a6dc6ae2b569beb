"""What relays are told about the source of a stream, and when."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.media.metadata import parse_data
from common.media.packet import Role
from common.rtmp import amf0
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message
from common.stream.blocks import OutputSpec
from common.stream.source import (
    MAX_SESSION,
    StreamSource,
    is_source,
    new_source,
    parse_source,
)
from tests.support.fanout import AV, CHUNK_SIZE, FakeViewer, Fanout

LIMITS = RtmpLimits()
RELAY = OutputSpec(chunk_size=CHUNK_SIZE, relay=True)
NAME = "onHeadwaterSource"


@pytest.fixture
def fanout() -> Fanout:
    return Fanout()


def begin_video(fanout: Fanout, number: int = 1) -> None:
    """Sends a header and one short GOP."""
    fanout.push(Role.VIDEO_HEADER, b"VH")
    fanout.push(Role.KEYFRAME, b"K%d" % number)
    fanout.push(Role.FRAME, b"F%d" % number)
    fanout.flush()


def told(viewer: FakeViewer) -> list[StreamSource | bytes | None]:
    """Returns what came, sources as what they say."""
    return [
        parse_source(each.payload, LIMITS) if is_source(each.payload) else each.payload
        for each in viewer.messages()
    ]


def sources(viewer: FakeViewer) -> list[Message]:
    return [each for each in viewer.messages() if is_source(each.payload)]


# The message


@given(st.integers(1, MAX_SESSION), st.integers(0, 0xFFFFFFFF))
def test_what_is_written_is_read(session: int, offset: int) -> None:
    source = StreamSource(session=session, offset_ms=offset)
    packet = source.to_packet(40)
    assert is_source(packet.payload)
    assert parse_source(packet.payload, LIMITS) == source
    assert parse_data(packet.payload, LIMITS) is None  # never for players


def test_sessions_get_names_of_their_own() -> None:
    names = {new_source().session for _ in range(100)}
    assert len(names) == 100
    assert all(1 <= each <= MAX_SESSION for each in names)


GOOD: dict[str, Any] = {"v": 1.0, "session": 7.0, "offset": 5.0}


def test_what_a_later_version_adds_is_stepped_over() -> None:
    payload = amf0.encode(NAME, GOOD | {"more": "x"}, None)
    assert parse_source(payload, LIMITS) == StreamSource(session=7, offset_ms=5)


@pytest.mark.parametrize(
    "values",
    [
        (),
        (None,),
        (7.0,),
        ({},),
        *(
            (GOOD | {key: value},)
            for key, values in {
                "v": (2.0, None, "1"),
                "session": (0.0, -7.0, 7.5, math.nan, math.inf, 2.0**53, "7", None, True),
                "offset": (-1.0, 0.5, math.nan, -math.inf, 2.0**32, [5.0], None, False),
            }.items()
            for value in values
        ),
        (GOOD, "x" * 2000),
    ],
)
def test_what_makes_no_sense_is_not_believed(values: tuple[Any, ...]) -> None:
    assert parse_source(amf0.encode(NAME, *values), LIMITS) is None


@given(st.binary(max_size=60))
def test_rubbish_is_not_believed(tail: bytes) -> None:
    payload = amf0.encode(NAME) + tail
    assert is_source(payload)
    parse_source(payload, LIMITS)


# When it is said


def test_relays_are_told_before_the_headers_and_players_never(fanout: Fanout) -> None:
    source = StreamSource(session=7, offset_ms=5)
    fanout.stream.begin_session(source, 100)
    early, player = fanout.watch(RELAY), fanout.watch(AV)
    begin_video(fanout)
    late = fanout.watch(RELAY)
    # One that was there hears it once more with its first keyframe, before which it had nothing.
    assert told(early) == told(late) == [source, b"VH", b"K1", b"F1"]
    assert told(player) == [b"VH", b"K1", b"F1"]
    keyframe = late.messages()[2].timestamp
    assert [each.timestamp for each in sources(early)] == [keyframe]
    assert [each.timestamp for each in sources(late)] == [keyframe]


def test_a_change_is_told_in_order_with_the_media_and_with_its_time(fanout: Fanout) -> None:
    one, other = StreamSource(session=7), StreamSource(session=8, offset_ms=3)
    fanout.stream.begin_session(one)
    relay, player = fanout.watch(RELAY), fanout.watch(AV)
    begin_video(fanout)
    fanout.push(Role.FRAME, b"F1b")
    fanout.stream.begin_session(other, 77)
    begin_video(fanout, 2)
    # Players have the header, a relay has put it away with the source that it came from.
    assert told(relay) == [one, b"VH", b"K1", b"F1", b"F1b", other, b"VH", b"K2", b"F2"]
    assert sources(relay)[-1].timestamp == 77
    assert told(player) == [b"VH", b"K1", b"F1", b"F1b", b"K2", b"F2"]


def test_a_relay_that_was_skipped_over_a_change_is_told_when_it_goes_on(fanout: Fanout) -> None:
    fanout.stream.begin_session(StreamSource(session=7))
    relay = fanout.watch(RELAY)
    begin_video(fanout)
    fanout.attach(relay, RELAY, resume=True)  # waits for a keyframe, like one that was skipped
    other = StreamSource(session=8)
    fanout.stream.begin_session(other)
    begin_video(fanout, 2)
    assert told(relay)[4:] == [other, b"VH", b"K2", b"F2"]


def test_the_same_source_by_another_way_repeats_no_header(fanout: Fanout) -> None:
    fanout.stream.begin_session(StreamSource(session=7))
    relay, player = fanout.watch(RELAY), fanout.watch(AV)
    begin_video(fanout)
    fanout.stream.resume_session()
    fanout.push(Role.VIDEO_HEADER, b"VH")
    fanout.push(Role.AUDIO_HEADER, b"AH")  # new
    fanout.push(Role.FRAME, b"F2")  # and no keyframe is waited for
    fanout.push(Role.VIDEO_HEADER, b"VH")  # a publisher's own repeat
    fanout.flush()
    assert told(player) == [b"VH", b"K1", b"F1", b"AH", b"F2", b"VH"]
    assert told(relay)[1:] == told(player)
