"""The newest packets of a stream: what is kept of it, and what a relay that comes back gets."""

from dataclasses import replace

import pytest

from common.media.packet import Packet, Role
from common.media.recent import MIN_SECTION_MS, RecentPackets, ResumePoint

FRAME_MS = 40
WRAP = 1 << 32


def video(time: int, role: Role = Role.FRAME, size: int = 10, track: int = 0) -> Packet:
    return Packet(9, time, b"v" * size, role, track=track)


def audio(time: int) -> Packet:
    return Packet(8, time, b"a" * 10, Role.AUDIO)


def fill(recent: RecentPackets, until_ms: int, *, gop_ms: int, begin_ms: int = 0) -> None:
    for time in range(begin_ms, until_ms, FRAME_MS):
        recent.add(video(time, Role.FRAME if time % gop_ms else Role.KEYFRAME))


def at(time: int, type_id: int = 9, track: int = 0) -> ResumePoint:
    return ResumePoint(session=1, type_id=type_id, track=track, time_ms=time % WRAP)


def times(packets: list[Packet] | None) -> list[int]:
    assert packets is not None
    return [each.timestamp for each in packets]


def oldest(recent: RecentPackets, until_ms: int) -> int:
    here = [time for time in range(0, until_ms, FRAME_MS) if recent.since(at(time), 0)]
    return here[0]


@pytest.fixture
def recent() -> RecentPackets:
    return RecentPackets(1 << 20, 10.0, 4096)


@pytest.mark.parametrize("gop_ms", [FRAME_MS, 400, 1000, 2000, 4000])
def test_last_gop_is_here_wherever_the_stream_stands_and_little_more(
    recent: RecentPackets, gop_ms: int
) -> None:
    kept_ms = max(gop_ms, MIN_SECTION_MS // FRAME_MS * FRAME_MS)
    now = 0
    for now in range(0, 15_000, FRAME_MS):
        recent.add(video(now, Role.FRAME if now % gop_ms else Role.KEYFRAME))
        cut_at = max(now - kept_ms, 0)
        assert times(recent.since(at(cut_at), 0)) == list(range(cut_at, now + 1, FRAME_MS))
    assert now - oldest(recent, now) <= 2 * (kept_ms + gop_ms)


def test_long_gop_is_kept_for_half_of_what_a_gop_may_last(recent: RecentPackets) -> None:
    fill(recent, 60_000, gop_ms=1_000_000)
    assert recent.since(at(55_000), 0) is not None
    assert oldest(recent, 60_000) >= 49_900


def test_bytes_and_packets_are_bounded() -> None:
    by_bytes = RecentPackets(1000, 10.0, 4096)
    by_packets = RecentPackets(1 << 20, 10.0, 100)
    for recent in (by_bytes, by_packets):
        fill(recent, 10_000, gop_ms=2000)
        kept = recent.since(at(oldest(recent, 10_000)), 0)
        assert kept is not None
        assert 50 <= len(kept) <= 100


@pytest.mark.parametrize(("max_bytes", "max_packets"), [(0, 4096), (1 << 20, 0)])
def test_without_a_cache_nothing_is_kept(max_bytes: int, max_packets: int) -> None:
    recent = RecentPackets(max_bytes, 10.0, max_packets)
    fill(recent, 400, gop_ms=2000)
    assert recent.since(at(360), 0) is None
    assert recent.count == 10


def test_packet_that_is_too_large_leaves_no_gap_behind() -> None:
    recent = RecentPackets(1000, 10.0, 4096)
    recent.add(video(0, Role.KEYFRAME))
    recent.add(video(40, size=501))
    recent.add(video(80))
    assert recent.since(at(0), 0) is None
    assert times(recent.since(at(80), 0)) == [80]


def test_place_is_found_by_kind_track_and_time_on_the_origins_clock(recent: RecentPackets) -> None:
    begin = WRAP - 40  # on our clock, which is 1000 ms ahead
    recent.add(video(begin, Role.KEYFRAME))
    recent.add(Packet(9, begin + 40, b"h", Role.VIDEO_HEADER))
    recent.add(video(begin + 40, track=1))
    recent.add(audio(begin + 40))
    recent.add(video(begin + 40))
    recent.add(video(begin + 40, size=11))
    assert recent.since(at(begin - 1000 + 80), 1000) is None
    for point, left in [
        (at(begin - 1000), 6),
        (at(begin + 40 - 1000, track=1), 4),
        (at(begin + 40 - 1000, 8), 3),
        (at(begin + 40 - 1000), 2),  # the first of its time, and never a header
    ]:
        found = recent.since(point, 1000)
        assert found is not None
        assert len(found) == left


def test_who_has_nothing_yet_gets_the_gop_of_the_place(recent: RecentPackets) -> None:
    fill(recent, 3000, gop_ms=2000)
    point = replace(at(1960), whole_gop=True)
    assert times(recent.since(point, 0)) == list(range(0, 3000, FRAME_MS))
    point = replace(at(2040), whole_gop=True)
    assert times(recent.since(point, 0)) == list(range(2000, 3000, FRAME_MS))


def test_who_has_nothing_yet_does_not_begin_before_the_headers_changed(
    recent: RecentPackets,
) -> None:
    fill(recent, 2000, gop_ms=2000)
    recent.headers_changed()
    recent.add(Packet(9, 2000, b"h", Role.VIDEO_HEADER))
    fill(recent, 3000, gop_ms=2000, begin_ms=2000)
    assert recent.since(replace(at(1960), whole_gop=True), 0) is None
    assert len(times(recent.since(at(1960), 0))) == 1 + 1 + 25  # headers in their place
    assert times(recent.since(replace(at(2040), whole_gop=True), 0))[0] == 2000


def test_who_has_nothing_yet_begins_anywhere_in_sound_but_not_amid_pictures(
    recent: RecentPackets,
) -> None:
    recent.add(audio(0))
    recent.add(audio(23))
    assert times(recent.since(replace(at(23, 8), whole_gop=True), 0)) == [23]
    recent.add(video(40))
    assert recent.since(replace(at(23, 8), whole_gop=True), 0) is None
