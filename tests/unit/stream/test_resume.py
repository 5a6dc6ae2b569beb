"""A relay that comes back, and what it is written; a player never gets any of it."""

import pytest

from common.media.packet import Role
from common.media.recent import ResumePoint
from common.stream.source import StreamSource, is_source
from tests.support.fanout import RELAY, FakeViewer, Fanout

SOURCE = StreamSource(session=7, offset_ms=1000)
HEADERS = [b"meta", b"VH"]


@pytest.fixture
def fanout() -> Fanout:
    """Two GOPs, all of it flushed: K1 at 2000, F1, F2, K2 at 4000, F3."""
    fanout = Fanout()
    fanout.stream.begin_session(SOURCE)
    fanout.push(Role.METADATA, b"meta", timestamp=2000)
    fanout.push(Role.VIDEO_HEADER, b"VH", timestamp=2000)
    fanout.push(Role.KEYFRAME, b"K1", timestamp=2000)
    fanout.push(Role.FRAME, b"F1")
    fanout.push(Role.FRAME, b"F2")
    fanout.push(Role.KEYFRAME, b"K2", timestamp=4000)
    fanout.push(Role.FRAME, b"F3")
    fanout.flush()
    return fanout


def after(time_ms: int, *, session: int = 7, whole_gop: bool = False) -> ResumePoint:
    """Name a picture by its time on the clock of this node."""
    return ResumePoint(
        session=session,
        type_id=9,
        track=0,
        time_ms=time_ms - SOURCE.offset_ms,
        whole_gop=whole_gop,
    )


def told(relay: FakeViewer) -> list[bytes]:
    """Return what came, but for the name of the source, which must come first and once."""
    payloads = relay.payloads()
    assert [is_source(each) for each in payloads] == [True] + [False] * (len(payloads) - 1)
    return payloads[1:]


def test_relay_gets_what_it_has_missed_of_the_gop_before(fanout: Fanout) -> None:
    assert told(fanout.watch(RELAY, since=after(2010))) == [b"F1", b"F2", b"K2", b"F3"]


def test_relay_that_has_it_all_gets_its_last_picture_and_what_follows(fanout: Fanout) -> None:
    relay = fanout.watch(RELAY, since=after(4010))
    fanout.push(Role.FRAME, b"F4")
    fanout.flush()
    assert told(relay) == [b"F3", b"F4"]


def test_what_is_pending_comes_once_with_the_next_flush(fanout: Fanout) -> None:
    fanout.watch(RELAY)  # whose output has something pending
    fanout.push(Role.VIDEO_HEADER, b"VH2")
    fanout.push(Role.KEYFRAME, b"K3")
    relay = fanout.watch(RELAY, since=after(4000))
    assert told(relay) == [b"K2", b"F3"]
    ahead = fanout.watch(RELAY, since=after(4030))  # it has K3, by a way that was faster
    fanout.flush()
    assert told(relay) == [b"K2", b"F3", b"VH2", b"K3"]
    assert told(ahead) == [b"VH2", b"K3"]


def test_who_asks_for_another_gets_headers_and_the_gop(fanout: Fanout) -> None:
    relay = fanout.watch(RELAY, since=after(2010, whole_gop=True))
    assert told(relay) == [*HEADERS, b"K1", b"F1", b"F2", b"K2", b"F3"]


@pytest.mark.parametrize("since", [after(1990), after(2010, session=8), after(9000)])
def test_relay_that_cannot_go_on_starts_like_any_other(fanout: Fanout, since: ResumePoint) -> None:
    assert told(fanout.watch(RELAY, since=since)) == [*HEADERS, b"K2", b"F3"]


def test_nothing_of_a_former_session_is_given_to_anybody(fanout: Fanout) -> None:
    fanout.stream.begin_session(StreamSource(session=8, offset_ms=1000), 5000)
    fanout.push(Role.KEYFRAME, b"N1", timestamp=5000)
    fanout.flush()
    assert told(fanout.watch(RELAY, since=after(2010))) == [b"N1"]


def test_first_relay_and_players_start_with_the_current_gop_only(fanout: Fanout) -> None:
    assert told(fanout.watch(RELAY)) == [*HEADERS, b"K2", b"F3"]
    assert fanout.watch().payloads() == [*HEADERS, b"K2", b"F3"]


def test_sound_without_pictures_goes_on_as_well() -> None:
    fanout = Fanout()
    fanout.stream.begin_session(SOURCE)
    for number in range(60):
        fanout.push(Role.AUDIO, b"A%d" % number)
    fanout.flush()
    since = ResumePoint(session=7, type_id=8, track=0, time_ms=(580 - 1000) % (1 << 32))
    assert told(fanout.watch(RELAY, since=since)) == [b"A57", b"A58", b"A59"]
