import pytest

from common.media.packet import Role
from common.media.timeline import FRAME_MS, Timeline

AUDIO, VIDEO, DATA = 8, 9, 18
WRAP = 1 << 32


class Source:
    """A publisher or relay that feeds a timeline."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline

    def video(self, at: int, role: Role = Role.FRAME, track: int = 0) -> int | None:
        return self.timeline.stamp(VIDEO, at % WRAP, role, track)

    def audio(self, at: int, track: int = 0) -> int | None:
        return self.timeline.stamp(AUDIO, at % WRAP, Role.AUDIO, track)

    def both(self, *times: int) -> list[int | None]:
        return [stamp for at in times for stamp in (self.video(at), self.audio(at + 5))]


def published() -> Source:
    return Source(Timeline())


class TestTimeline:
    @pytest.mark.parametrize("first", [0, 5_000_000, 0xFFFFFE, 0x7FFFFFFF, 0xFFFFF000, 0xFFFFFFFF])
    def test_a_stream_starts_at_0_wherever_its_publisher_does(self, first: int) -> None:
        source = published()
        times = [first + step * 40 for step in range(200)]
        assert source.both(*times) == [step * 40 + at for step in range(200) for at in (0, 5)]

    def test_c27_the_wrap_at_32_bits_is_no_step(self) -> None:
        source = published()
        assert source.video(0xFFFFFFF0) == 0
        assert source.video(0x10) == 32

    def test_the_clock_goes_on_past_32_bits(self) -> None:
        source = published()
        for at in range(0, 2 * WRAP, 20_000):
            assert source.video(at) == at

    def test_headers_and_metadata_do_not_anchor(self) -> None:
        source = published()
        stamp = source.timeline.stamp
        assert stamp(DATA, 0, Role.METADATA) == 0
        assert stamp(VIDEO, 0, Role.VIDEO_HEADER) == 0
        assert stamp(AUDIO, 77, Role.AUDIO_HEADER) == 0
        assert source.video(9_000_000, Role.KEYFRAME) == 0
        assert source.audio(9_000_020) == 20
        assert stamp(VIDEO, 0, Role.VIDEO_HEADER) == 0
        assert stamp(DATA, 0, Role.METADATA) == 0

    def test_a_header_comes_no_later_than_what_follows_it(self) -> None:
        source = published()
        source.both(0, 40)
        stamp = source.timeline.stamp
        assert stamp(VIDEO, 0, Role.VIDEO_HEADER) == 40
        assert stamp(AUDIO, 0, Role.AUDIO_HEADER) == 45
        assert stamp(AUDIO, 0, Role.AUDIO_HEADER, 1) == 40

    def test_other_data_keeps_its_time_where_it_makes_sense(self) -> None:
        source = published()
        stamp = source.timeline.stamp
        assert stamp(DATA, 1_000, Role.DATA) == 0
        source.video(1_000)
        source.video(9_000)
        assert stamp(DATA, 8_990, Role.DATA) == 7_990
        assert stamp(DATA, 0, Role.DATA) == 8_000

    def test_c81_audio_two_seconds_before_video_stays_in_sync(self) -> None:
        source = published()
        assert [source.audio(at) for at in range(0, 2_000, 20)] == list(range(0, 2_000, 20))
        assert source.video(2_000) == 2_000

    def test_a_track_that_starts_before_the_anchor_waits_at_it(self) -> None:
        source = published()
        source.video(2_000)
        assert source.audio(1_000) == 0
        assert source.audio(1_990) == 0
        assert source.audio(2_010) == 10

    # conformance 83
    def test_c83_tracks_out_of_order_are_neither_changed_nor_dropped(self) -> None:
        source = published()
        source.video(0)
        times = [(source.audio, 400), (source.video, 40), (source.audio, 423), (source.video, 80)]
        assert [take(at) for take, at in times] == [400, 40, 423, 80]

    def test_a_track_never_goes_back_and_equal_times_stay_equal(self) -> None:
        source = published()
        assert [source.video(at) for at in (0, 40, 40, 35, 80, 62, 120)] == [
            0,
            40,
            40,
            40,
            80,
            80,
            120,
        ]
        assert source.timeline.jumps == 0

    def test_both_tracks_restarting_keep_their_sync(self) -> None:
        source = published()
        source.both(*range(3_600_000, 3_660_000, 40))
        last = source.timeline.last_out
        assert source.video(0) == last + FRAME_MS
        assert source.audio(3) == last + FRAME_MS + 3
        assert source.both(40) == [last + FRAME_MS + 40, last + FRAME_MS + 45]
        assert source.timeline.jumps == 1
        assert source.timeline.rejoins == 1

    def test_a_common_jump_ahead_is_taken_out(self) -> None:
        source = published()
        source.both(0, 40)
        source.both(600_000)
        assert source.both(600_040) == [45 + FRAME_MS + 40, 45 + FRAME_MS + 45]

    def test_tracks_on_either_side_of_the_limit_move_together(self) -> None:
        source = published()
        source.video(0)
        source.audio(0)
        assert source.video(30_100) == FRAME_MS
        assert source.audio(29_900) == 0  # not 29,900: the common clock has moved
        assert source.audio(30_150) == FRAME_MS + 50

    def test_a_common_pause_is_kept(self) -> None:
        source = published()
        source.both(0)
        assert source.both(20_000) == [20_000, 20_005]
        assert source.timeline.jumps == 0

    def test_a_track_that_was_silent_comes_back_in_sync(self) -> None:
        source = published()
        source.both(0)
        for at in range(40, 120_000, 40):
            source.video(at)
        assert source.audio(120_000) == 120_000
        assert source.timeline.jumps == 0

    def test_a_single_glitch_is_clamped_counted_and_forgotten(self) -> None:
        source = published()
        source.both(0, 40)
        assert source.audio(9_000_000) == 45 + FRAME_MS
        assert source.video(80) == 80
        assert source.audio(90) == 90
        assert source.audio(113) == 113
        assert source.timeline.jumps == 1
        assert source.timeline.rejoins == 1

    def test_a_track_that_jumps_alone_goes_on_smoothly(self) -> None:
        source = published()
        source.both(*range(0, 4_000, 40))
        start = source.audio(50)
        assert start == 3_965 + FRAME_MS
        assert source.audio(73) == start + 23
        assert source.video(4_000) == 4_000

    def test_tracks_with_clocks_of_their_own_start_together(self) -> None:
        source = published()
        source.video(5_000_000)
        assert source.audio(0) == 0
        assert source.video(5_000_040) == 40
        assert source.audio(23) == 23
        assert source.timeline.jumps == 1

    def test_many_small_steps_back_do_not_freeze_a_track_for_ever(self) -> None:
        source = published()
        times = [100_000 - step * 90 for step in range(200)]
        stamps = [source.video(at) for at in times]
        assert stamps[-1] != 0
        assert stamps == sorted(stamps, key=lambda each: each or 0)

    def test_c68_a_new_session_goes_on_one_frame_later(self) -> None:
        source = published()
        source.both(5_000, 5_040)
        source.timeline.begin_session()
        stamp = source.timeline.stamp
        assert stamp(DATA, 0, Role.METADATA) == 45 + FRAME_MS
        assert source.video(0xFFFFFFF0) == 45 + FRAME_MS
        assert source.audio(0) == 45 + FRAME_MS + 16

    def test_sessions_without_media_do_not_move_the_clock(self) -> None:
        timeline = Timeline()
        for _ in range(3):
            timeline.begin_session()
            timeline.stamp(VIDEO, 7, Role.VIDEO_HEADER)
        assert timeline.stamp(VIDEO, 7, Role.KEYFRAME) == 0

    def test_tracks_of_a_kind_are_kept_apart(self) -> None:
        source = published()
        assert source.video(0, track=0) == 0
        assert source.video(40, track=1) == 40
        assert source.video(20, track=0) == 20
        assert source.video(30, track=-1) == 30
