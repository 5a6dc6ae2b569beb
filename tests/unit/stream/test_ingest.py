"""Messages of a source become packets, or are dropped without harm."""

from dataclasses import dataclass, field

import pytest

from common.media.packet import Role
from common.metrics import render
from common.rtmp import amf0
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message, MessageType
from common.stream.ingest import StreamFeed
from tests.support.fanout import FakeViewer, Fanout

VIDEO_HEADER = b"\x17\x00\x00\x00\x00\x01\x64\x00\x1e\xff"
KEYFRAME = b"\x17\x01\x00\x00\x00key"
FRAME = b"\x27\x01\x00\x00\x00frame"
AUDIO = b"\xaf\x01audio"


@dataclass
class Clock:
    """Moves every time by an hour, and refuses what is known already."""

    known: set[int] = field(default_factory=set)
    asked: list[Role] = field(default_factory=list)

    def stamp(
        self, type_id: int, wire: int, role: Role, track: int = 0, payload: bytes = b""
    ) -> int | None:
        self.asked.append(role)
        return None if wire in self.known else wire + 3_600_000


class Bench:
    def __init__(self) -> None:
        self.fanout = Fanout()
        self.clock = Clock()
        self.feed = StreamFeed(self.fanout.stream, self.clock, RtmpLimits())
        self.viewer: FakeViewer = self.fanout.watch()

    def take(self, type_id: MessageType, payload: bytes, timestamp: int = 40) -> None:
        self.feed.take([Message(int(type_id), timestamp, 1, payload)])
        self.fanout.flush()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def refused() -> float:
    metrics = render(None).decode().splitlines()
    name = "headwater_messages_refused_total{"
    return sum(float(line.split()[-1]) for line in metrics if line.startswith(name))


def data(*values: object) -> bytes:
    return b"".join(amf0.encode(value) for value in values)


def test_media_is_classified_and_put_on_the_clock_of_the_stream(bench: Bench) -> None:
    bench.take(MessageType.VIDEO, VIDEO_HEADER)
    bench.take(MessageType.VIDEO, KEYFRAME)
    bench.take(MessageType.AUDIO, AUDIO)
    assert bench.viewer.payloads() == [VIDEO_HEADER, KEYFRAME, AUDIO]
    assert {each.timestamp for each in bench.viewer.messages()} == {3_600_040}
    assert bench.clock.asked == [Role.VIDEO_HEADER, Role.KEYFRAME, Role.AUDIO]


def test_what_viewers_have_already_is_not_sent_again(bench: Bench) -> None:
    bench.clock.known = {20}
    bench.take(MessageType.VIDEO, KEYFRAME, 20)
    bench.take(MessageType.VIDEO, KEYFRAME, 40)
    assert len(bench.viewer.payloads()) == 1


@pytest.mark.parametrize("type_id", [MessageType.AUDIO, MessageType.VIDEO])
def test_c35_an_empty_body_is_dropped_in_silence(bench: Bench, type_id: MessageType) -> None:
    before = refused()
    bench.take(type_id, b"")
    assert bench.fanout.stream.totals.bytes_in == 0
    assert refused() == before


@pytest.mark.parametrize(
    ("type_id", "payload"),
    [
        (MessageType.VIDEO, b"\x97"),
        (MessageType.DATA_AMF0, b"\x02\x00\x0aonMetaData\x08\x00"),
    ],
)
def test_a_broken_message_is_counted_and_the_stream_goes_on(
    bench: Bench, type_id: MessageType, payload: bytes
) -> None:
    before = refused()
    bench.take(type_id, payload)
    assert refused() == before + 1
    bench.take(MessageType.VIDEO, KEYFRAME)
    assert bench.viewer.payloads() == [KEYFRAME]


def test_c70_metadata_is_kept_for_newcomers_until_it_is_cleared(bench: Bench) -> None:
    bench.take(MessageType.DATA_AMF0, data("@setDataFrame", "onMetaData", {"width": 640.0}))
    bench.take(MessageType.VIDEO, KEYFRAME)
    assert b"onMetaData" in bench.fanout.watch().payloads()[0]
    bench.take(MessageType.DATA_AMF0, data("@clearDataFrame"))
    assert bench.fanout.watch().payloads() == [KEYFRAME]


def test_other_data_is_passed_on_and_not_kept(bench: Bench) -> None:
    bench.take(MessageType.VIDEO, KEYFRAME)
    bench.take(MessageType.DATA_AMF0, data("onCuePoint", {"name": "x"}))
    assert b"onCuePoint" in bench.viewer.payloads()[-1]
    assert bench.fanout.stream.headers.for_joiner() == []


def test_what_was_said_to_the_feeding_side_is_taken_in_its_place_and_is_no_part_of_the_stream(
    bench: Bench,
) -> None:
    came: list[tuple[bytes, int]] = []

    def is_ours(message: Message) -> bool:
        came.append((message.payload, bench.fanout.stream.totals.video_in))
        return message.payload == private

    private, public = data("onPrivate"), data("onCuePoint")
    feed = StreamFeed(bench.fanout.stream, bench.clock, RtmpLimits(), is_ours)
    video, other = int(MessageType.VIDEO), int(MessageType.DATA_AMF0)
    messages = [(video, KEYFRAME), (other, private), (video, FRAME), (other, public)]
    feed.take([Message(type_id, 40, 1, payload) for type_id, payload in messages])
    bench.fanout.flush()
    assert came == [(private, 1), (public, 2)]
    assert bench.viewer.payloads() == [KEYFRAME, FRAME, public]
