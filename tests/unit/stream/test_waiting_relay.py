"""A relay that has to wait for a keyframe: it is told what the stream is, and no more than that."""

import pytest

from common.config.model import GopSettings
from common.media.packet import Role
from common.stream.source import StreamSource, is_source
from tests.support.fanout import RELAY, FakeSink, FakeViewer, Fanout

BEGAN_AT = 5_000
HEADERS = [b"meta", b"VH", b"AH"]


def told(relay: FakeViewer) -> list[bytes]:
    """Return what came; the name of the source as "source"."""
    return [b"source" if is_source(each) else each for each in relay.payloads()]


@pytest.fixture(params=[{"max_seconds": 10.0}, {"max_bytes": 3}, {"max_bytes": 0}], ids=str)
def fanout(request: pytest.FixtureRequest) -> Fanout:
    """A stream without a cached GOP, at 20 s."""
    fanout = Fanout(gop=GopSettings(**request.param))
    fanout.stream.begin_session(StreamSource(session=7), BEGAN_AT)
    fanout.push(Role.METADATA, b"meta", timestamp=BEGAN_AT)
    fanout.push(Role.VIDEO_HEADER, b"VH", timestamp=BEGAN_AT)
    fanout.push(Role.AUDIO_HEADER, b"AH", timestamp=BEGAN_AT)
    fanout.push(Role.KEYFRAME, b"K1", timestamp=BEGAN_AT)
    fanout.push(Role.FRAME, b"F1", timestamp=BEGAN_AT + 40)
    fanout.push(Role.FRAME, b"F2", timestamp=20_000)
    fanout.flush()
    return fanout


def go_on(fanout: Fanout, number: int) -> None:
    """Have the GOP go on, and somebody look after those who wait."""
    fanout.push(Role.AUDIO, b"A%d" % number)
    fanout.push(Role.FRAME, b"F%d" % number)
    fanout.flush()
    fanout.check_lag()


def test_it_has_the_headers_at_once_and_then_the_stream_from_its_keyframe(fanout: Fanout) -> None:
    relay, player = fanout.watch(RELAY), fanout.watch()
    assert told(relay) == [b"source", *HEADERS]
    assert {each.timestamp for each in relay.messages()} == {20_000}  # where the stream is
    go_on(fanout, 3)
    assert told(relay) == [b"source", *HEADERS]
    assert relay.owner.started == 0
    fanout.push(Role.KEYFRAME, b"K2")
    go_on(fanout, 4)
    assert told(relay) == [b"source", *HEADERS, b"K2", b"A4", b"F4"]
    assert player.payloads() == [*HEADERS, b"K2", b"A4", b"F4"]
    assert relay.owner.started == 1


def test_it_learns_of_another_header_and_of_another_session(fanout: Fanout) -> None:
    relay = fanout.watch(RELAY)
    fanout.push(Role.AUDIO_HEADER, b"AH2")
    go_on(fanout, 3)
    assert told(relay)[4:] == [b"source", b"meta", b"VH", b"AH2"]
    fanout.stream.begin_session(StreamSource(session=8), 30_000)
    fanout.push(Role.VIDEO_HEADER, b"VH3")
    go_on(fanout, 4)  # a publisher that begins within a GOP
    assert told(relay)[8:] == [b"source", b"VH3"]
    fanout.push(Role.KEYFRAME, b"K2")
    fanout.flush()
    assert told(relay)[10:] == [b"K2"]


def test_one_that_comes_before_the_headers_is_given_them_later() -> None:
    fanout = Fanout()
    fanout.stream.begin_session(StreamSource(session=7), BEGAN_AT)
    relay = fanout.watch(RELAY)
    assert told(relay) == []
    assert fanout.stream.recent.latest == BEGAN_AT
    fanout.push(Role.VIDEO_HEADER, b"VH", timestamp=BEGAN_AT)
    go_on(fanout, 1)
    assert told(relay) == [b"source", b"VH"]


def test_one_whose_buffer_is_full_must_drain_it_first(fanout: Fanout) -> None:
    sink = FakeSink()
    sink.room = 0
    former = fanout.watch(RELAY, sink)
    assert sink.paused
    fanout.stream.detach(former.viewer)
    relay = fanout.watch(RELAY, sink)
    go_on(fanout, 3)
    assert told(relay) == []
    sink.take_all()
    go_on(fanout, 4)
    assert told(relay) == [b"source", *HEADERS]
