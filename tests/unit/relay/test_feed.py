"""What becomes of a relay's messages, and what is said of them to the relays behind."""

import pytest

from common.relay.feed import RelayFeed
from common.rtmp import amf0
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message, MessageType
from common.stream.blocks import OutputSpec
from common.stream.source import StreamSource, is_source, parse_source
from tests.support.fanout import CHUNK_SIZE, FakeViewer, Fanout
from tests.support.spine import frame_name, make_frames, make_headers

LIMITS = RtmpLimits()


class Bench:
    """A feed, a player, and a relay behind."""

    def __init__(self) -> None:
        self.fanout = Fanout()
        self.feed = RelayFeed(self.fanout.stream, LIMITS)
        self.player = self.fanout.watch()
        self.relay = self.fanout.watch(OutputSpec(chunk_size=CHUNK_SIZE, relay=True))

    def name(self, session: int, offset: int = 0, at: int = 0) -> None:
        packet = StreamSource(session=session, offset_ms=offset).to_packet(at)
        self.feed.take([Message(packet.type_id, packet.timestamp, 1, packet.payload)])

    def send_at_once(self, *messages: tuple[int, int, bytes]) -> None:
        self.feed.take([Message(type_id, at, 1, payload) for type_id, at, payload in messages])
        self.fanout.flush()

    def send(self, name: str, count: int, *, first: int = 0, offset: int = 0) -> None:
        for tag in [*make_headers(), *make_frames(name, count, first=first)]:
            wire = (tag.timestamp + offset) & 0xFFFFFFFF
            self.feed.take([Message(tag.type_id, wire, 1, tag.payload)])
            self.fanout.flush()

    @property
    def headers(self) -> int:
        return len(self.player.messages()) - len(frames(self.player))

    @property
    def told(self) -> list[StreamSource | None]:
        payloads = self.relay.payloads()
        return [parse_source(each, LIMITS) for each in payloads if is_source(each)]


def frames(viewer: FakeViewer) -> list[str]:
    return [name for each in viewer.payloads() if (name := frame_name(each))]


def times(viewer: FakeViewer) -> list[int]:
    return [each.timestamp for each in viewer.messages() if frame_name(each.payload)]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_same_session_goes_on_exactly_by_a_way_with_another_clock(bench: Bench) -> None:
    bench.name(7)
    bench.send("a", 7)
    bench.feed.begin_relay(None)
    bench.name(7, 9_000, 9_000)
    bench.send("a", 9, offset=9_000)
    assert frames(bench.player) == [f"a-{n}" for n in range(9)]
    assert times(bench.player) == [40 * n for n in range(9)]
    assert bench.headers == 2
    assert bench.told == [StreamSource(session=7)]  # for those behind nothing has changed


def test_another_session_goes_on_at_a_keyframe_and_relays_behind_are_told(bench: Bench) -> None:
    bench.name(7)
    bench.send("a", 5)
    bench.feed.begin_relay(None)
    bench.name(8, 100, 100)
    bench.send("b", 3, offset=100)
    assert frames(bench.player)[5:] == ["b-0", "b-1", "b-2"]
    assert times(bench.player)[5:] == [200, 240, 280]
    assert bench.headers == 2
    assert bench.told == [StreamSource(session=7), StreamSource(session=8, offset_ms=200)]


def test_other_publisher_at_the_same_origin_is_noticed_in_band(bench: Bench) -> None:
    bench.name(7)
    bench.send("a", 5)
    bench.name(8, 0, 200)
    bench.send("b", 3, first=5)
    assert times(bench.player) == [40 * n for n in range(8)]
    assert [each.session for each in bench.told if each] == [7, 8]


def test_source_without_a_name_gets_one_for_the_relays_behind(bench: Bench) -> None:
    bench.feed.begin_relay(3)
    bench.send("a", 5)
    bench.feed.begin_relay(3)
    bench.send("a", 7)  # the same epoch: the same session
    assert frames(bench.player) == [f"a-{n}" for n in range(7)]
    assert bench.headers == 2
    bench.feed.begin_relay(4)
    bench.send("b", 1)
    bench.feed.begin_relay(None)
    bench.send("c", 1)
    assert times(bench.player)[7:] == [280, 320]
    names = [each.session for each in bench.told if each]
    assert len(set(names)) == len(names) == 3
    assert {each.offset_ms for each in bench.told if each} == {0}


def test_epoch_that_changes_under_a_relay_is_that_of_its_source_only(bench: Bench) -> None:
    bench.feed.begin_relay(3)
    bench.send("a", 5)
    bench.feed.epoch_changed(4)
    bench.send("b", 5, first=5)
    bench.feed.begin_relay(4)
    bench.send("b", 6, first=5)
    assert frames(bench.player)[5:] == [f"b-{n}" for n in range(5, 11)]
    bench.feed.begin_relay(5)
    bench.feed.epoch_changed(6)  # before it has brought anything
    bench.send("c", 1)
    assert times(bench.player)[-1] == times(bench.player)[-2] + 40


def test_name_of_a_session_does_not_outlive_it(bench: Bench) -> None:
    bench.feed.begin_relay(3)
    bench.name(7)
    bench.send("a", 5)
    bench.feed.begin_relay(3)
    bench.send("a", 1)  # not one of ours any more: nobody knows whether it is the same
    assert frames(bench.player)[5:] == ["a-0"]


def test_name_that_makes_no_sense_is_as_good_as_none(bench: Bench) -> None:
    payload = amf0.encode("onHeadwaterSource", {"v": 1, "session": float("nan"), "offset": 0})
    bench.feed.take([Message(int(MessageType.DATA_AMF0), 0, 1, payload)])
    bench.send("a", 2)
    assert frames(bench.player) == ["a-0", "a-1"]
    assert len(bench.player.messages()) == 4  # the message itself has reached nobody


def test_sources_in_one_read_begin_where_they_stand_in_it(bench: Bench) -> None:
    def source(session: int, at: int) -> tuple[int, int, bytes]:
        packet = StreamSource(session=session, offset_ms=at).to_packet(at)
        return packet.type_id, at, packet.payload

    def media(name: str, at: int) -> list[tuple[int, int, bytes]]:
        tags = [*make_headers(), *make_frames(name, 2)]
        return [(each.type_id, each.timestamp + at, each.payload) for each in tags]

    bench.name(7)
    bench.send("a", 1)
    bench.feed.begin_relay(None)
    bench.send_at_once(source(7, 0), *media("a", 0), source(8, 500), *media("b", 500))
    assert frames(bench.player) == ["a-0", "a-1", "b-0", "b-1"]
    assert times(bench.player) == [0, 40, 80, 120]
    assert bench.told == [StreamSource(session=7), StreamSource(session=8, offset_ms=80)]


def test_name_that_makes_no_sense_does_not_keep_what_follows_in_the_read_from_its_session(
    bench: Bench,
) -> None:
    bench.name(7)
    bench.send("a", 2)
    bench.feed.begin_relay(None)
    payload = amf0.encode("onHeadwaterSource", {"v": 1, "session": float("nan"), "offset": 0})
    tags = [*make_headers(), *make_frames("b", 2)]
    media = [(each.type_id, each.timestamp, each.payload) for each in tags]
    bench.send_at_once((int(MessageType.DATA_AMF0), 0, payload), *media)
    assert frames(bench.player) == ["a-0", "a-1", "b-0", "b-1"]
    assert times(bench.player) == [0, 40, 80, 120]
    assert len(bench.told) == 2


def test_name_of_another_version_before_a_good_one_ends_no_session(bench: Bench) -> None:
    bench.name(7)
    bench.send("a", 3)
    bench.feed.begin_relay(None)
    later = amf0.encode("onHeadwaterSource", {"v": 2, "session": 7.0, "offset": 0})
    good = StreamSource(session=7).to_packet(0).payload
    data = int(MessageType.DATA_AMF0)
    tags = [*make_headers(), *make_frames("a", 5)]
    media = [(each.type_id, each.timestamp, each.payload) for each in tags]
    bench.send_at_once((data, 0, later), (data, 0, good), *media)
    assert frames(bench.player) == [f"a-{n}" for n in range(5)]
    assert bench.told == [StreamSource(session=7)]
