"""The clock of a stream that is pulled: exact, and the same by every way."""

import pytest

from common.media.packet import Role
from common.media.relay_timeline import RelayTimeline
from common.media.timeline import FRAME_MS

AUDIO, VIDEO, DATA = 8, 9, 18
WRAP = 1 << 32


class Source:
    """A relay that feeds a timeline."""

    def __init__(self, timeline: RelayTimeline) -> None:
        self.timeline = timeline

    def video(
        self, at: int, role: Role = Role.FRAME, track: int = 0, payload: bytes = b""
    ) -> int | None:
        return self.timeline.stamp(VIDEO, at % WRAP, role, track, payload)

    def audio(self, at: int, track: int = 0, payload: bytes = b"") -> int | None:
        return self.timeline.stamp(AUDIO, at % WRAP, Role.AUDIO, track, payload)

    def both(self, *times: int) -> list[int | None]:
        return [stamp for at in times for stamp in (self.video(at), self.audio(at + 5))]


def pulled() -> Source:
    return Source(RelayTimeline())


class TestRelayTimeline:
    @pytest.mark.parametrize("first", [0, 12_345, 0x7FFFFFF0, 0xFFFFF000])
    def test_times_are_kept_exactly(self, first: int) -> None:
        source = pulled()
        assert source.timeline.stamp(DATA, first, Role.METADATA) == first
        assert source.timeline.stamp(VIDEO, first, Role.VIDEO_HEADER) == first
        times = [first + step * 40 for step in range(200)]
        assert source.both(*times) == [at + ahead for at in times for ahead in (0, 5)]

    def test_metadata_with_time_0_does_not_disturb_the_clock(self) -> None:
        source = pulled()
        stamp = source.timeline.stamp
        assert stamp(DATA, 0, Role.METADATA) == 0
        assert source.video(3_000_000_000) == 3_000_000_000
        assert stamp(DATA, 0, Role.METADATA) == 3_000_000_000
        assert stamp(DATA, 0, Role.DATA) == 3_000_000_000
        assert source.video(3_000_000_040) == 3_000_000_040

    def test_a_header_of_a_running_stream_keeps_its_time(self) -> None:
        source = pulled()
        source.both(1_000)
        assert source.timeline.stamp(VIDEO, 1_040, Role.VIDEO_HEADER) == 1_040

    def test_c68_another_source_goes_on_one_frame_later_with_one_offset(self) -> None:
        source = pulled()
        source.both(70_000, 70_040)
        source.timeline.begin_session(continues=False)
        stamp = source.timeline.stamp
        base = 70_045 + FRAME_MS
        assert stamp(DATA, 500, Role.METADATA) == base
        assert stamp(VIDEO, 500, Role.VIDEO_HEADER) == base
        assert source.video(500, Role.KEYFRAME) == base
        assert source.audio(480) == base - 20
        assert source.both(540) == [base + 40, base + 45]

    def test_the_same_source_goes_on_as_if_nothing_had_been(self) -> None:
        source = pulled()
        source.both(*range(WRAP - 1_000, WRAP - 200, 40))
        last = source.timeline.last_out
        source.timeline.begin_session(continues=True)
        # The new pull begins with the cached GOP, most of which viewers have.
        assert source.timeline.stamp(VIDEO, WRAP - 600, Role.VIDEO_HEADER) == last
        assert source.video(WRAP - 600, Role.KEYFRAME) is None
        assert source.both(*range(WRAP - 560, WRAP - 200, 40)) == [None] * 18
        assert source.both(WRAP - 200, WRAP - 160) == [
            WRAP - 200,
            WRAP - 195,
            WRAP - 160,
            WRAP - 155,
        ]

    def test_repeats_end_with_the_last_packet_that_viewers_have(self) -> None:
        source = pulled()
        source.video(0)
        source.audio(300)
        source.timeline.stamp(DATA, 40, Role.DATA)
        source.video(40)
        source.timeline.begin_session(continues=True)
        assert source.video(0) is None
        assert source.audio(300) is None
        assert source.timeline.stamp(DATA, 40, Role.DATA) is None
        assert source.video(40) is None
        assert source.timeline.stamp(DATA, 40, Role.DATA) == 40  # behind the last one: new
        assert source.video(80) == 80
        assert source.audio(323) == 323
        assert source.audio(323) == 323  # equal times, but both are new

    def test_the_same_source_after_a_gap_keeps_its_times(self) -> None:
        source = pulled()
        source.both(1_000)
        source.timeline.begin_session(continues=True)
        assert source.both(9_000) == [9_000, 9_005]

    def test_a_moved_clock_stays_moved_when_its_source_is_pulled_again(self) -> None:
        source = pulled()
        source.both(70_000)
        source.timeline.begin_session(continues=False)
        base = 70_005 + FRAME_MS
        source.both(500, 540)
        source.timeline.begin_session(continues=True)
        assert source.both(540, 580) == [None, None, base + 80, base + 85]

    def test_a_source_that_was_not_the_same_after_all_is_moved(self) -> None:
        source = pulled()
        source.both(70_000)
        source.timeline.begin_session(continues=True)
        assert source.both(500) == [70_005 + FRAME_MS, 70_005 + FRAME_MS + 5]

    def test_a_pull_that_brought_nothing_leaves_no_trace(self) -> None:
        source = pulled()
        source.timeline.begin_session(continues=False)
        assert source.video(500) == 500
        source.timeline.begin_session(continues=False)
        source.timeline.begin_session(continues=True)
        assert source.video(500) == 500 + FRAME_MS


class TestNamedSessions:
    """Sources that say which publish session they serve, and how their clock differs."""

    def test_the_first_session_keeps_the_times_of_its_origin(self) -> None:
        source = pulled()
        assert source.timeline.begin_source(7, 5_000, 65_000) == 60_000
        assert source.timeline.stamp(DATA, 65_000, Role.METADATA) == 60_000
        assert source.timeline.stamp(VIDEO, 65_000, Role.VIDEO_HEADER) == 60_000
        assert source.both(65_000, 65_040) == [60_000, 60_005, 60_040, 60_045]
        assert source.timeline.offset == 0

    def test_the_same_session_by_another_way_goes_on_at_the_same_times(self) -> None:
        source = pulled()
        source.timeline.begin_source(7, 0, 1_000)
        source.both(1_000, 1_040)
        assert source.timeline.begin_source(7, 9_000, 10_000) is None
        assert source.both(10_000, 10_040, 10_080) == [None] * 4 + [1_080, 1_085]

    def test_another_session_is_moved_as_a_whole_and_says_by_how_much(self) -> None:
        source = pulled()
        source.timeline.begin_source(7, 0, 70_000)
        source.both(70_000)
        base = 70_005 + FRAME_MS
        assert source.timeline.begin_source(8, 100, 600) == base
        assert source.timeline.offset == base - 500
        assert source.timeline.stamp(VIDEO, 600, Role.VIDEO_HEADER) == base
        assert source.both(600) == [base, base + 5]
        assert source.timeline.begin_source(8, 0, 540) is None
        assert source.both(540) == [base + 40, base + 45]
        assert source.timeline.offset == base - 500

    def test_a_session_that_was_left_for_another_begins_anew(self) -> None:
        source = pulled()
        for session in (7, 8):
            source.timeline.begin_source(session, 0, 0)
            source.video(0)
        assert source.timeline.begin_source(7, 0, 0) == 2 * FRAME_MS
        assert source.video(0) == 2 * FRAME_MS

    def test_a_session_that_brought_nothing_yet_keeps_its_place(self) -> None:
        source = pulled()
        source.timeline.begin_source(7, 0, 0)
        source.video(1_000)
        assert source.timeline.begin_source(8, 0, 0) == 1_040
        assert source.timeline.begin_source(8, 50, 50) is None
        assert source.video(90) == 1_080

    @pytest.mark.parametrize("track", [0, 1])
    def test_packets_of_one_time_are_told_apart(self, track: int) -> None:
        source = pulled()
        source.timeline.begin_source(7, 0, 0)
        source.audio(20, track, b"one")
        source.audio(20, track, b"two")
        for offset in (100, 200):  # a second loss in the middle of the repeats changes nothing
            source.timeline.begin_source(7, offset, offset)
            assert source.audio(20 + offset, track, b"one") is None
        assert source.audio(220, track, b"two") is None
        assert source.audio(220, track, b"three") == 20
        assert source.audio(220, track, b"three") == 20

    def test_a_keyframe_of_the_time_of_the_last_frame_is_no_repeat(self) -> None:
        source = pulled()
        source.timeline.begin_source(7, 0, 0)
        source.video(0, Role.KEYFRAME, payload=b"k1")
        source.video(40, payload=b"f1")
        source.timeline.begin_source(7, 0, 40)
        assert source.video(40, Role.KEYFRAME, payload=b"k2") == 40

    def test_packets_of_one_time_do_not_fill_memory(self) -> None:
        source = pulled()
        source.timeline.begin_source(7, 0, 0)
        for number in range(10_000):
            source.audio(0, payload=b"%d" % number)
        assert len(source.timeline._tracks[AUDIO].latest) <= 64

    def test_sound_that_reaches_back_behind_the_session_before_is_left_out(self) -> None:
        source = pulled()
        source.timeline.begin_source(7, 0, 0)
        source.both(1_000)
        source.timeline.begin_source(8, 0, 500)
        assert source.video(500, Role.KEYFRAME) == 1_045
        assert source.audio(400) is None
        assert source.audio(470) == 1_015

    def test_a_slower_way_does_not_bring_a_track_from_before_the_session_was_joined(self) -> None:
        source = pulled()
        source.timeline.begin_source(7, 0, 1_000)
        source.video(1_000)
        source.timeline.begin_source(7, 0, 500)
        assert source.video(500) is None
        assert source.video(1_000, payload=b"other") == 1_000
        source.timeline.begin_source(7, 0, 500)
        assert source.video(500) is None
        assert source.audio(520) is None
        assert source.timeline.stamp(DATA, 520, Role.DATA) is None
        assert source.video(1_040) == 1_040
        assert source.audio(1_045) == 1_045

    def test_data_of_a_long_gop_is_not_repeated(self) -> None:
        source = pulled()
        stamp = source.timeline.stamp
        source.timeline.begin_source(7, 0, 0)
        source.video(0)
        assert stamp(DATA, 40, Role.DATA, 0, b"cue") == 40
        for at in range(40, 9_000, 40):
            source.video(at)
        source.timeline.begin_source(7, 0, 0)
        assert stamp(VIDEO, 0, Role.VIDEO_HEADER) == 8_960
        assert source.video(0) is None
        assert stamp(DATA, 40, Role.DATA, 0, b"cue") is None
        for at in range(40, 9_000, 40):
            assert source.video(at) is None
        assert stamp(DATA, 9_000, Role.DATA, 0, b"cue") == 9_000

    def test_a_step_that_no_session_makes_begins_it_anew(self) -> None:
        source = pulled()
        source.timeline.begin_source(7, 0, 0)
        source.video(1_000_000_000)
        assert source.timeline.begin_source(7, 0, 0) == 1_000_000_000 + FRAME_MS
        assert source.video(0) == 1_000_000_000 + FRAME_MS

    def test_sources_with_and_without_a_name_are_different_sources(self) -> None:
        source = pulled()
        source.timeline.begin_source(7, 0, 0)
        source.video(1_000)
        source.timeline.begin_session(continues=True)
        assert source.video(1_000) == 1_040
        source.timeline.begin_session(continues=True)
        assert source.video(1_000) is None
        assert source.timeline.begin_source(7, 0, 1_000) == 1_080
        assert source.video(1_000) == 1_080
