"""One output: congested viewers, lag, skips, kicks, totals. Conformance 84."""

import tracemalloc

from common.config.model import FanoutSettings, GopSettings
from common.media.packet import Role
from tests.support.fanout import AUDIO_ONLY, FakeViewer, Fanout


def fanout_with(**settings: float) -> Fanout:
    """Returns a stream whose first GOP is flushed."""
    fanout = Fanout(FanoutSettings.model_validate(settings))
    fanout.push(Role.VIDEO_HEADER, b"VH1")
    fanout.push(Role.KEYFRAME, b"K1")
    fanout.flush()
    return fanout


def frames(fanout: Fanout, count: int, *, every_s: float = 0.1, size: int = 1000) -> None:
    """Sends frames in real time."""
    for _ in range(count):
        fanout.loop.now += every_s
        fanout.push(Role.FRAME, bytes(size))
        fanout.flush()


def stall(watcher: FakeViewer) -> None:
    """Lets the peer read nothing more."""
    watcher.sink.room = 0


def test_c84_a_viewer_that_stops_reading_is_skipped_then_kicked_and_harms_nobody() -> None:
    fanout = fanout_with()
    good, slow = fanout.watch(), fanout.watch()
    slow.owner.on_kick = fanout.stream.detach
    stall(slow)
    frames(fanout, 31)
    assert fanout.flusher.totals.skipped_gops == 0
    frames(fanout, 3)  # more than three seconds behind
    assert fanout.flusher.totals.skipped_gops == 1
    written = len(slow.sink.written)
    for _ in range(90):
        frames(fanout, 1)
        fanout.check_lag()
    assert slow.owner.kicked == []
    frames(fanout, 20)
    lag, lagging = fanout.check_lag()
    assert slow.owner.kicked == ["too_slow"]
    assert (lag > 10, lagging) == (True, 1)
    assert len(slow.sink.written) == written, "nothing is added for one who takes nothing"
    assert len(good.payloads()) == 2 + 31 + 3 + 90 + 20
    assert list(fanout.stream.viewers) == [good.viewer]


def test_c84_a_viewer_that_drains_goes_on_at_the_next_keyframe() -> None:
    fanout = fanout_with()
    slow = fanout.watch()
    stall(slow)
    frames(fanout, 40)
    before = len(slow.payloads())
    slow.sink.take_all()
    frames(fanout, 2)
    assert len(slow.payloads()) == before, "never in the middle of a GOP"
    fanout.push(Role.KEYFRAME, b"K2")
    frames(fanout, 1)
    assert slow.payloads()[before] == b"K2"
    assert fanout.check_lag() == (0, 0)
    assert slow.owner.started == 1


def test_a_skipped_viewer_that_has_not_drained_does_not_start_at_a_keyframe() -> None:
    fanout = fanout_with()
    slow = fanout.watch()
    stall(slow)
    frames(fanout, 40)
    before = len(slow.sink.written)
    slow.sink.take(10)
    fanout.push(Role.KEYFRAME, b"K2")
    fanout.flush()
    assert len(slow.sink.written) == before


def test_headers_that_changed_while_a_viewer_was_skipped_come_before_its_keyframe() -> None:
    fanout = fanout_with()
    slow = fanout.watch()
    stall(slow)
    frames(fanout, 40)
    before = len(slow.payloads())
    fanout.push(Role.VIDEO_HEADER, b"VH2")
    fanout.flush()
    slow.sink.take_all()
    fanout.push(Role.KEYFRAME, b"K2")
    fanout.flush()
    assert slow.payloads()[before:] == [b"VH2", b"K2"]


def test_a_viewer_is_skipped_by_bytes_before_it_is_by_time() -> None:
    fanout = fanout_with(lag_limit_bytes=65_536)
    slow = fanout.watch()
    stall(slow)
    frames(fanout, 60, every_s=0.001)
    assert fanout.flusher.totals.skipped_gops == 0
    frames(fanout, 10, every_s=0.001)
    assert fanout.flusher.totals.skipped_gops == 1
    assert slow.sink.unsent < 65_536 + 3000


def test_a_large_start_block_is_no_lag_until_there_was_time_to_take_it() -> None:
    fanout = fanout_with(lag_limit_bytes=65_536)
    frames(fanout, 200)
    slow = FakeViewer()
    stall(slow)
    fanout.attach(slow)  # 200 kB
    frames(fanout, 20)
    assert fanout.flusher.totals.skipped_gops == 0
    frames(fanout, 20)
    assert fanout.flusher.totals.skipped_gops == 1


def test_headers_are_no_lag_for_one_who_waited_long_for_its_keyframe() -> None:
    fanout = Fanout()
    slow = fanout.watch()
    fanout.push(Role.METADATA, bytes(4000))
    fanout.push(Role.VIDEO_HEADER, b"VH1")
    fanout.flush()
    fanout.loop.now += 10
    stall(slow)
    fanout.push(Role.KEYFRAME, b"K1")
    frames(fanout, 2, size=100)
    assert fanout.flusher.totals.skipped_gops == 0


def test_a_viewer_that_takes_little_by_little_stays_in_step() -> None:
    fanout = fanout_with()
    slow = fanout.watch()
    stall(slow)
    for _ in range(100):
        frames(fanout, 1)
        slow.sink.take(1012)  # a frame and its header
    assert fanout.flusher.totals.skipped_gops == 0
    slow.sink.take_all()
    assert not slow.viewer.congested
    frames(fanout, 1)
    assert len(slow.payloads()) == 2 + 101


def test_lag_of_a_congested_viewer_is_told_in_seconds_of_media() -> None:
    fanout = fanout_with()
    slow = fanout.watch()
    stall(slow)
    frames(fanout, 15)
    lag, lagging = fanout.check_lag()
    assert 1.3 < lag < 1.7
    assert lagging == 0


def test_a_viewer_that_drained_while_paused_starts_with_a_clean_slate() -> None:
    fanout = fanout_with()
    slow = fanout.watch()
    stall(slow)
    frames(fanout, 40)
    fanout.stream.suspend(slow.viewer)
    slow.sink.take_all()
    fanout.loop.now += 60
    fanout.attach(slow, resume=True)
    assert fanout.check_lag() == (0, 0)


def test_pausing_does_not_save_a_viewer_that_reads_nothing() -> None:
    fanout = fanout_with()
    slow = fanout.watch()
    stall(slow)
    frames(fanout, 40)
    fanout.stream.suspend(slow.viewer)
    fanout.loop.now += 20
    fanout.attach(slow, resume=True)
    fanout.check_lag()
    assert slow.owner.kicked == ["too_slow"]


def test_a_sink_that_is_closed_already_disturbs_nobody() -> None:
    fanout = fanout_with()
    watchers = {name: fanout.watch() for name in ("ready", "congested", "good")}
    stall(watchers["congested"])
    frames(fanout, 1)
    waiting = FakeViewer()
    fanout.attach(waiting, resume=True)
    for watcher in (watchers["ready"], watchers["congested"], waiting):
        watcher.sink.closed = True
    fanout.push(Role.KEYFRAME, b"K2")
    fanout.flush()
    frames(fanout, 1)
    fanout.check_lag()
    assert watchers["good"].payloads()[-2] == b"K2"


def test_a_viewer_that_has_not_taken_an_earlier_play_waits_until_it_has() -> None:
    fanout = fanout_with()
    slow = fanout.watch()
    stall(slow)
    frames(fanout, 10)
    fanout.stream.detach(slow.viewer)
    again = fanout.watch(sink=slow.sink)
    fanout.push(Role.KEYFRAME, b"K2")
    fanout.flush()
    assert again.payloads() == []
    slow.sink.take_all()
    fanout.push(Role.KEYFRAME, b"K3")
    fanout.flush()
    assert again.payloads() == [b"VH1", b"K3"]


def test_a_viewer_that_never_takes_an_earlier_play_is_kicked() -> None:
    fanout = fanout_with()
    slow = fanout.watch()
    stall(slow)
    frames(fanout, 10)
    fanout.stream.detach(slow.viewer)
    again = fanout.watch(sink=slow.sink)
    fanout.loop.now += 11
    fanout.check_lag()
    assert again.owner.kicked == ["too_slow"]


def test_outputs_of_different_tracks_are_skipped_each_for_itself() -> None:
    fanout = fanout_with()
    slow, listener = fanout.watch(), fanout.watch(AUDIO_ONLY)
    stall(slow)
    for _ in range(40):
        frames(fanout, 1)
        fanout.push(Role.AUDIO, b"A")
        fanout.flush()
    assert fanout.flusher.totals.skipped_gops == 1
    assert listener.payloads() == [b"A"] * 40


def test_totals_count_what_each_viewer_was_written() -> None:
    fanout = Fanout()
    waiting = fanout.watch()
    fanout.push(Role.VIDEO_HEADER, b"VH1")
    fanout.push(Role.AUDIO_HEADER, b"AH1")
    fanout.push(Role.KEYFRAME, b"K1")
    fanout.push(Role.AUDIO, b"A1")
    fanout.flush()
    cached = fanout.watch()
    slow = fanout.watch()
    stall(slow)
    fanout.push(Role.DATA, b"D1")
    fanout.push(Role.FRAME, b"F1")
    fanout.flush()
    frames(fanout, 40)
    watchers = (waiting, cached, slow)
    totals = fanout.flusher.totals
    messages = [message for each in watchers for message in each.messages()]
    assert totals.bytes_out == sum(len(each.sink.written) for each in watchers)
    assert totals.audio_out == sum(message.type_id == 8 for message in messages)
    assert totals.video_out == sum(message.type_id == 9 for message in messages)
    assert totals.data_out == sum(message.type_id == 18 for message in messages)


def test_without_a_cache_viewers_wait_for_a_keyframe() -> None:
    fanout = Fanout(gop=GopSettings(max_packets=0))
    fanout.push(Role.VIDEO_HEADER, b"VH1")
    fanout.push(Role.KEYFRAME, b"K1")
    fanout.flush()
    late = fanout.watch()
    frames(fanout, 1)
    assert late.payloads() == []
    fanout.push(Role.KEYFRAME, b"K2")
    fanout.flush()
    assert late.payloads() == [b"VH1", b"K2"]


def test_timestamps_go_over_32_bits_without_a_stall() -> None:
    fanout = Fanout()
    early = fanout.watch()
    fanout.push(Role.VIDEO_HEADER, b"VH1", timestamp=0xFFFFFFF0)
    fanout.push(Role.KEYFRAME, b"K1", timestamp=0xFFFFFFF0)
    fanout.push(Role.FRAME, bytes(5000), timestamp=0x1_0000_0010)
    fanout.flush()
    assert [each.timestamp for each in early.messages()] == [0xFFFFFFF0, 0xFFFFFFF0, 0x10]


def test_a_keyframe_for_which_nobody_waits_does_not_copy_the_headers() -> None:
    # A publisher may have megabytes of headers and send thousands of tiny keyframes in one read.
    fanout = Fanout(FanoutSettings())
    header = bytes(200_000)
    fanout.push(Role.VIDEO_HEADER, header)
    fanout.push(Role.KEYFRAME, b"K1")
    fanout.watch()
    fanout.flush()
    tracemalloc.start()
    try:
        fanout.push(Role.KEYFRAME, b"K2")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < len(header) / 2
