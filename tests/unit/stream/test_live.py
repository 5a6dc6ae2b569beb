"""A live stream: what is kept for newcomers, and what a new source changes."""

import pytest

from common.media.packet import Role
from common.stream.blocks import OutputSpec
from tests.support.fanout import AUDIO_ONLY, VIDEO_ONLY, FakeViewer, Fanout


@pytest.fixture
def fanout() -> Fanout:
    return Fanout()


def begin_video(fanout: Fanout) -> None:
    """Sends headers and one short GOP."""
    fanout.push(Role.METADATA, b"meta")
    fanout.push(Role.VIDEO_HEADER, b"VH1")
    fanout.push(Role.AUDIO_HEADER, b"AH1")
    fanout.push(Role.KEYFRAME, b"K1")
    fanout.push(Role.FRAME, b"F1")
    fanout.flush()


def test_c78_a_late_joiner_gets_metadata_headers_and_the_gop(fanout: Fanout) -> None:
    begin_video(fanout)
    late = fanout.watch()
    assert late.payloads() == [b"meta", b"VH1", b"AH1", b"K1", b"F1"]
    times = [message.timestamp for message in late.messages()]
    assert times == sorted(times)
    assert late.owner.started == 1


def test_nothing_comes_twice_and_nothing_is_missed_by_a_joiner_between_flushes(
    fanout: Fanout,
) -> None:
    early = fanout.watch()
    begin_video(fanout)
    fanout.push(Role.FRAME, b"F2")  # pending
    late = fanout.watch()
    fanout.push(Role.FRAME, b"F3")
    fanout.flush()
    assert late.payloads()[-4:] == [b"K1", b"F1", b"F2", b"F3"]
    assert early.payloads() == late.payloads()


def test_a_joiner_while_a_keyframe_is_pending_starts_with_that_flush(fanout: Fanout) -> None:
    begin_video(fanout)
    fanout.watch()
    fanout.push(Role.FRAME, b"F2")
    fanout.push(Role.KEYFRAME, b"K2")
    late = fanout.watch()
    assert late.payloads() == []
    fanout.push(Role.FRAME, b"F3")
    fanout.flush()
    assert late.payloads() == [b"meta", b"VH1", b"AH1", b"K2", b"F3"]
    times = [message.timestamp for message in late.messages()]
    assert times == sorted(times), "headers are not later than the keyframe"


def test_joiners_between_two_flushes_share_the_very_same_bytes(fanout: Fanout) -> None:
    begin_video(fanout)
    first, second = fanout.watch(), fanout.watch()
    assert first.sink.writes[0] is second.sink.writes[0]


def test_waiting_viewers_share_the_bytes_that_they_start_with(fanout: Fanout) -> None:
    first, second = fanout.watch(), fanout.watch()
    begin_video(fanout)
    assert first.payloads() == second.payloads()
    assert all(a is b for a, b in zip(first.sink.writes, second.sink.writes, strict=True))


def test_frames_before_the_first_keyframe_reach_nobody(fanout: Fanout) -> None:
    early = fanout.watch()
    fanout.push(Role.FRAME, b"F0")
    fanout.push(Role.VIDEO_HEADER, b"VH1")
    fanout.push(Role.FRAME, b"F00")
    fanout.push(Role.KEYFRAME, b"K1")
    fanout.flush()
    assert early.payloads() == [b"VH1", b"K1"]


def test_a_viewer_is_started_with_its_first_picture_not_with_metadata(fanout: Fanout) -> None:
    early = fanout.watch()
    fanout.push(Role.METADATA, b"meta")
    fanout.push(Role.VIDEO_HEADER, b"VH1")
    fanout.flush()
    assert early.owner.started == 0
    fanout.push(Role.KEYFRAME, b"K1")
    fanout.flush()
    assert early.owner.started == 1
    assert early.payloads() == [b"meta", b"VH1", b"K1"]


# Conformance 81: tracks that come late, or not at all.


def test_c81_an_audio_only_stream_starts_at_its_next_audio(fanout: Fanout) -> None:
    early = fanout.watch()
    fanout.push(Role.AUDIO_HEADER, b"AH1")
    fanout.push(Role.AUDIO, b"A1")
    fanout.flush()
    late = fanout.watch()
    fanout.push(Role.AUDIO, b"A2")
    fanout.flush()
    assert early.payloads() == [b"AH1", b"A1", b"A2"]
    assert late.payloads() == [b"AH1", b"A2"]


def test_c81_a_video_only_stream_starts_at_a_keyframe(fanout: Fanout) -> None:
    fanout.push(Role.VIDEO_HEADER, b"VH1")
    early = fanout.watch()
    fanout.push(Role.KEYFRAME, b"K1")
    fanout.flush()
    assert early.payloads() == [b"VH1", b"K1"]


def test_c81_audio_before_late_video_is_heard_and_the_picture_begins_at_its_keyframe(
    fanout: Fanout,
) -> None:
    early = fanout.watch()
    fanout.push(Role.AUDIO_HEADER, b"AH1")
    fanout.push(Role.AUDIO, b"A1")
    fanout.flush()
    fanout.push(Role.VIDEO_HEADER, b"VH1")
    fanout.push(Role.FRAME, b"F0")
    fanout.push(Role.KEYFRAME, b"K1")
    fanout.flush()
    assert early.payloads() == [b"AH1", b"A1", b"VH1", b"K1"]


def test_c81_announced_video_that_never_comes_keeps_waiting_viewers_for_a_second_only(
    fanout: Fanout,
) -> None:
    fanout.push(Role.VIDEO_HEADER, b"VH1")
    early = fanout.watch()
    for _ in range(50):  # more than a second of audio
        fanout.push(Role.AUDIO, b"A")
        fanout.flush()
    assert early.payloads()[:2] == [b"VH1", b"A"]
    assert early.owner.started == 1


def test_a_camera_that_goes_off_and_on_begins_again_at_a_keyframe(fanout: Fanout) -> None:
    begin_video(fanout)
    fanout.watch()
    for _ in range(460):  # more than ten seconds of audio
        fanout.push(Role.AUDIO, b"A")
    fanout.flush()
    assert not fanout.stream.has_video
    late = fanout.watch()
    fanout.push(Role.AUDIO, b"A!")
    fanout.flush()
    fanout.push(Role.FRAME, b"F9")  # refers to a picture that `late` has not got
    fanout.push(Role.KEYFRAME, b"K2")
    fanout.push(Role.FRAME, b"F10")
    fanout.flush()
    assert late.payloads() == [b"meta", b"VH1", b"AH1", b"A!", b"K2", b"F10"]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (AUDIO_ONLY, [b"AH1", b"A1", b"A2"]),
        (VIDEO_ONLY, [b"VH1", b"K1", b"F1", b"F2"]),
    ],
)
def test_a_viewer_of_one_track_gets_that_track_only(
    fanout: Fanout, spec: OutputSpec, expected: list[bytes]
) -> None:
    early = fanout.watch(spec)
    fanout.push(Role.VIDEO_HEADER, b"VH1")
    fanout.push(Role.AUDIO_HEADER, b"AH1")
    fanout.push(Role.KEYFRAME, b"K1")
    fanout.push(Role.AUDIO, b"A1")
    fanout.push(Role.FRAME, b"F1")
    fanout.flush()
    fanout.push(Role.AUDIO, b"A2")
    fanout.push(Role.FRAME, b"F2")
    fanout.flush()
    assert early.payloads() == expected


# Headers


def test_c79_an_identical_header_keeps_the_gop_a_changed_one_empties_it(fanout: Fanout) -> None:
    begin_video(fanout)
    fanout.push(Role.VIDEO_HEADER, b"VH1")
    fanout.flush()
    assert fanout.watch().payloads()[-2:] == [b"K1", b"F1"]
    fanout.push(Role.VIDEO_HEADER, b"VH2")
    fanout.flush()
    late = fanout.watch()
    assert late.payloads() == []
    fanout.push(Role.KEYFRAME, b"K2")
    fanout.flush()
    assert late.payloads() == [b"meta", b"VH2", b"AH1", b"K2"]


def test_a_header_that_changes_behind_the_keyframe_stays_behind_it(fanout: Fanout) -> None:
    begin_video(fanout)
    early, late = fanout.watch(), FakeViewer()
    fanout.push(Role.KEYFRAME, b"K2")
    fanout.attach(late)
    fanout.push(Role.AUDIO, b"A1")  # with the old header
    fanout.push(Role.AUDIO_HEADER, b"AH2")
    fanout.push(Role.AUDIO, b"A2")
    fanout.flush()
    assert late.payloads() == [b"meta", b"VH1", b"AH1", b"K2", b"A1", b"AH2", b"A2"]
    assert early.payloads()[-4:] == late.payloads()[-4:]


def test_an_overflown_gop_starts_nobody(fanout: Fanout) -> None:
    begin_video(fanout)
    fanout.push(Role.FRAME, b"F2", timestamp=60_000)  # longer than is kept
    fanout.flush()
    late = fanout.watch()
    fanout.push(Role.FRAME, b"F3")
    fanout.flush()
    assert late.payloads() == []
    fanout.push(Role.KEYFRAME, b"K2")
    fanout.flush()
    assert late.payloads()[-1] == b"K2"


# Sources


def test_a_new_source_goes_on_at_a_keyframe_without_headers_that_viewers_have(
    fanout: Fanout,
) -> None:
    early = fanout.watch()
    begin_video(fanout)
    fanout.stream.begin_session()
    fanout.push(Role.METADATA, b"meta")
    fanout.push(Role.VIDEO_HEADER, b"VH1")
    fanout.push(Role.AUDIO_HEADER, b"AH1")
    fanout.push(Role.FRAME, b"F8")
    fanout.push(Role.KEYFRAME, b"K2")
    fanout.flush()
    assert early.payloads()[5:] == [b"K2"]


def test_c82_a_new_source_with_other_headers_leaves_none_of_the_old_ones(fanout: Fanout) -> None:
    early = fanout.watch()
    begin_video(fanout)
    fanout.stream.begin_session()
    fanout.push(Role.VIDEO_HEADER, b"VH2")
    fanout.push(Role.KEYFRAME, b"K2")
    fanout.flush()
    assert early.payloads()[5:] == [b"VH2", b"K2"]
    assert fanout.watch().payloads() == [b"VH2", b"K2"]


def test_a_viewer_that_comes_before_the_headers_of_a_new_source_gets_them(fanout: Fanout) -> None:
    begin_video(fanout)
    fanout.stream.begin_session()
    between = fanout.watch()
    fanout.push(Role.VIDEO_HEADER, b"VH1")  # the same as the old source's
    fanout.push(Role.AUDIO_HEADER, b"AH1")
    fanout.push(Role.KEYFRAME, b"K2")
    fanout.flush()
    assert between.payloads() == [b"VH1", b"AH1", b"K2"]


@pytest.mark.parametrize("flushed_between", [False, True])
def test_headers_that_come_behind_the_first_keyframe_of_a_new_source_reach_who_waits(
    fanout: Fanout, flushed_between: bool
) -> None:
    fanout.push(Role.AUDIO_HEADER, b"AH1")
    early = fanout.watch()
    fanout.stream.begin_session()
    fanout.push(Role.KEYFRAME, b"K1")
    if flushed_between:
        fanout.flush()
    fanout.push(Role.AUDIO_HEADER, b"AH1")
    fanout.flush()
    assert early.payloads() == [b"K1", b"AH1"]


def test_a_source_that_goes_before_its_keyframe_changes_nothing(fanout: Fanout) -> None:
    early = fanout.watch()
    begin_video(fanout)
    fanout.stream.begin_session()
    fanout.push(Role.VIDEO_HEADER, b"VH1")
    fanout.stream.begin_session()
    fanout.push(Role.VIDEO_HEADER, b"VH1")
    fanout.push(Role.AUDIO_HEADER, b"AH1")
    fanout.push(Role.FRAME, b"F8")
    fanout.push(Role.KEYFRAME, b"K3")
    fanout.flush()
    assert early.payloads()[5:] == [b"K3"]


# The end, and the way of one viewer


def test_the_last_frames_are_written_before_viewers_hear_of_the_end(fanout: Fanout) -> None:
    early = fanout.watch()
    begin_video(fanout)
    early.owner.on_end = fanout.stream.detach
    fanout.push(Role.FRAME, b"F2")
    fanout.stream.end("unpublished")
    assert early.payloads()[-1] == b"F2"
    assert early.owner.ended == ["unpublished"]
    fanout.flush()
    assert early.payloads().count(b"F2") == 1


def test_the_end_comes_after_a_round_that_is_under_way(fanout: Fanout) -> None:
    fanout = Fanout(settings=fanout.flusher.settings.model_copy(update={"slice_viewers": 1}))
    watchers = [fanout.watch() for _ in range(3)]
    begin_video(fanout)
    fanout.push(Role.FRAME, b"F2")
    fanout.loop.turn()  # the first viewer only
    for each in watchers:
        each.owner.on_end = fanout.stream.detach
    fanout.push(Role.FRAME, b"F3")
    fanout.stream.end("unpublished")
    fanout.flush()
    assert [each.payloads()[-3:] for each in watchers] == [[b"F1", b"F2", b"F3"]] * 3


def test_a_suspended_viewer_gets_nothing_and_goes_on_at_a_keyframe(fanout: Fanout) -> None:
    early = fanout.watch()
    begin_video(fanout)
    fanout.push(Role.FRAME, b"F2")
    fanout.stream.suspend(early.viewer)
    assert early.viewer in fanout.stream.viewers
    fanout.push(Role.FRAME, b"F3")
    fanout.flush()
    early.viewer.header_version = -1  # as a client that resumes wants it
    fanout.attach(early, resume=True)
    fanout.push(Role.FRAME, b"F4")
    fanout.push(Role.KEYFRAME, b"K2")
    fanout.flush()
    assert early.payloads()[5:] == [b"meta", b"VH1", b"AH1", b"K2"]


def test_an_output_that_nobody_takes_is_given_up_and_made_anew(fanout: Fanout) -> None:
    early = fanout.watch()
    begin_video(fanout)
    fanout.push(Role.FRAME, b"F2")
    fanout.stream.detach(early.viewer)
    assert not list(fanout.stream.outputs)
    assert fanout.stream.viewers == {}
    late = fanout.watch()
    fanout.push(Role.FRAME, b"F3")
    fanout.flush()
    assert late.payloads()[-4:] == [b"K1", b"F1", b"F2", b"F3"]


def test_totals_count_what_came_in(fanout: Fanout) -> None:
    begin_video(fanout)
    totals = fanout.stream.totals
    assert (totals.audio_in, totals.video_in, totals.data_in) == (1, 3, 1)
    assert totals.bytes_in == len(b"metaVH1AH1K1F1")


def test_codecs_are_told_video_first(fanout: Fanout) -> None:
    assert not fanout.stream.codecs
    begin_video(fanout)
    assert fanout.stream.codecs == ("avc1", "mp4a")
