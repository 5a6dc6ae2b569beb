"""When blocks are written: at once while it costs nothing, in spaced and sliced rounds later."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from common.media.packet import Role
from common.stream.blocks import OutputSpec
from tests.support.fanout import FakeViewer, Fanout
from tests.support.rounds import GATHER_S, Costly, begin, one_round, settled_interval


def test_with_few_viewers_a_message_is_written_in_the_next_turn() -> None:
    fanout, (watcher,) = begin(1)
    fanout.loop.now += 1
    fanout.push(Role.FRAME, b"F1")
    assert b"F1" not in watcher.payloads(), "messages of one read go out together"
    fanout.push(Role.FRAME, b"F2")
    fanout.loop.turn()
    assert watcher.payloads()[-2:] == [b"F1", b"F2"]
    assert len(watcher.sink.writes) == 2


def test_the_interval_follows_cost_over_share() -> None:
    fanout, _ = begin(20, cost_s=0.000_25, cpu_share=0.25)
    assert settled_interval(fanout) == pytest.approx(20 * 0.000_25 / 0.25, rel=0.01)


def test_the_interval_ends_at_its_ceiling() -> None:
    fanout, _ = begin(20, cost_s=0.01, cpu_share=0.1, max_interval_ms=80)
    assert settled_interval(fanout) == pytest.approx(0.08)


def test_the_interval_is_not_shorter_than_configured() -> None:
    fanout, _ = begin(1, min_interval_ms=20)
    assert settled_interval(fanout) == pytest.approx(0.02)


def test_one_slow_round_is_an_outlier_not_a_rule() -> None:
    fanout, watchers = begin(8, cost_s=0.000_012_5, cpu_share=0.1, max_interval_ms=1000)
    before = settled_interval(fanout)
    watchers[0].sink.on_write = lambda: setattr(fanout.loop, "now", fanout.loop.now + 0.01)
    one_round(fanout)
    assert before < fanout.flusher.interval_s < 0.05
    watchers[0].sink.on_write = lambda: None
    assert settled_interval(fanout) < 0.001


def test_where_a_round_is_dear_a_message_waits_for_what_comes_with_it() -> None:
    fanout, watchers = begin(20, cost_s=0.000_15, cpu_share=1.0)
    settled_interval(fanout)  # 3 ms a round
    before = len(watchers[0].sink.writes)
    fanout.loop.now += 1
    began = fanout.loop.now
    fanout.push(Role.FRAME, b"F1")
    fanout.loop.turn()
    assert fanout.loop.next_timer == pytest.approx(began + GATHER_S)
    fanout.push(Role.FRAME, b"F2")
    fanout.flush()
    assert len(watchers[0].sink.writes) == before + 1
    assert watchers[0].payloads()[-2:] == [b"F1", b"F2"]


def test_a_long_round_gives_other_work_a_turn_between_its_slices() -> None:
    fanout, watchers = begin(40, slice_viewers=16)
    fanout.loop.now += 1
    fanout.push(Role.FRAME, b"F")
    got: list[int] = []

    def other_work() -> None:
        got.append(sum(len(watcher.sink.writes) == 2 for watcher in watchers))
        if got[-1] < 40:
            fanout.loop.call_soon(other_work)

    fanout.loop.call_soon(other_work)
    fanout.flush()
    assert got == [16, 32, 40]


def test_messages_that_come_during_a_round_are_for_the_next_one() -> None:
    fanout, watchers = begin(32, slice_viewers=16)
    fanout.push(Role.FRAME, b"F1")
    fanout.loop.settle()
    fanout.loop.now += 1
    fanout.push(Role.FRAME, b"F2")
    fanout.loop.turn()
    fanout.push(Role.FRAME, b"F3")
    fanout.flush()
    assert all(watcher.payloads() == [b"K1", b"F1", b"F2", b"F3"] for watcher in watchers)


@pytest.mark.parametrize("spec_count", [1, 2])
def test_slices_go_over_the_bounds_of_outputs(spec_count: int) -> None:
    fanout, watchers = begin(20, slice_viewers=16)
    others = [fanout.new_stream(f"live/{number}") for number in range(spec_count)]
    more = [FakeViewer() for _ in others]
    for stream, watcher in zip(others, more, strict=True):
        packet = fanout.push(Role.KEYFRAME, b"K2")
        stream.push(packet)
        fanout.flush()
        stream.attach(watcher.viewer, fanout_spec(fanout), fanout.loop.now)
        stream.push(packet)
    one_round(fanout)
    assert all(watcher.payloads()[-1] == b"F" for watcher in watchers)
    assert all(watcher.payloads()[-1] == b"K2" for watcher in more)


def fanout_spec(fanout: Fanout) -> OutputSpec:
    """Returns the spec of the first output."""
    return next(iter(fanout.stream.outputs)).spec


def in_mid_round(fanout: Fanout) -> None:
    """Stops a round after its first slice."""
    fanout.loop.now += 1
    fanout.push(Role.FRAME, b"F1")
    fanout.loop.turn()


def rejoin_the_stream(fanout: Fanout, watcher: FakeViewer) -> FakeViewer:
    fanout.stream.detach(watcher.viewer)
    return fanout.watch(sink=watcher.sink)


def join_another_stream(fanout: Fanout, watcher: FakeViewer) -> FakeViewer:
    fanout.stream.detach(watcher.viewer)
    other = fanout.new_stream("live/other")
    again = FakeViewer(watcher.sink)
    other.push(fanout.push(Role.KEYFRAME, b"K9"))
    other.attach(again.viewer, fanout_spec(fanout), fanout.loop.now)
    return again


def congest_drain_and_rejoin(fanout: Fanout, viewer: FakeViewer) -> FakeViewer:
    viewer.viewer.writing_paused()  # by an answer to a command
    fanout.stream.detach(viewer.viewer)
    viewer.viewer.writing_resumed()
    return fanout.watch(sink=viewer.sink)


@pytest.mark.parametrize(
    ("move", "expected"),
    [
        (rejoin_the_stream, [b"K1", b"F1", b"F2"]),
        (join_another_stream, [b"K9"]),
        (congest_drain_and_rejoin, [b"K1", b"F1", b"F2"]),
    ],
)
def test_a_viewer_that_moves_during_a_round_is_not_written_its_old_block(
    move: Callable[[Fanout, FakeViewer], FakeViewer], expected: list[bytes]
) -> None:
    fanout, watchers = begin(17, slice_viewers=16)
    in_mid_round(fanout)
    last = next(each for each in watchers if len(each.sink.writes) == 1)
    again = move(fanout, last)
    fanout.push(Role.FRAME, b"F2")
    fanout.flush()
    assert again.payloads() == expected


def test_a_viewer_that_comes_back_during_a_round_gets_the_end_of_the_stream() -> None:
    fanout, viewers = begin(17, slice_viewers=16)
    in_mid_round(fanout)
    again = rejoin_the_stream(fanout, viewers[-1])
    fanout.push(Role.FRAME, b"F2")
    fanout.stream.end("over")
    assert again.payloads() == [b"K1", b"F1", b"F2"]


def test_a_viewer_that_joins_during_a_round_gets_its_block_once() -> None:
    fanout, _ = begin(17, slice_viewers=16)
    in_mid_round(fanout)
    late = fanout.watch()
    fanout.push(Role.FRAME, b"F2")
    fanout.flush()
    assert late.payloads() == [b"K1", b"F1", b"F2"]


def test_a_viewer_congested_by_something_else_during_a_round_still_gets_its_block_once() -> None:
    fanout, watchers = begin(17, slice_viewers=16)
    in_mid_round(fanout)
    last = next(each for each in watchers if len(each.sink.writes) == 1)
    last.sink.room = 0
    last.viewer.writing_paused()
    fanout.push(Role.FRAME, b"F2")
    fanout.flush()
    assert last.payloads() == [b"K1", b"F1", b"F2"]


def test_rounds_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    fanout, _ = begin(8, cost_s=0.001)
    durations: list[float] = []
    intervals: list[float] = []
    feeds = {"durations": durations, "intervals": intervals}
    for name, seen in feeds.items():
        monkeypatch.setattr(fanout.flusher, name, SimpleNamespace(observe=seen.append))
    one_round(fanout)
    one_round(fanout)
    assert durations == pytest.approx([0.008, 0.008])
    assert all(0 <= each < 1 for each in intervals)


def test_what_slow_viewers_cost_counts() -> None:
    fanout, _ = begin(0, cpu_share=0.1, max_interval_ms=1000)
    slow = Costly(fanout, 100, 0.005)
    for _ in range(40):
        fanout.flusher.wake(slow)
        fanout.flush()
    assert fanout.flusher.interval_s == pytest.approx(0.05, rel=0.01)


def test_large_and_small_streams_that_alternate_are_both_measured() -> None:
    fanout, _ = begin(0, cpu_share=0.1, max_interval_ms=1000)
    both = [Costly(fanout, 1, 0.0), Costly(fanout, 500, 0.004)]
    for _ in range(40):
        for each in both:
            fanout.flusher.wake(each)
            fanout.flush()
    assert fanout.flusher.interval_s > 0.01


def test_rounds_of_a_few_writes_are_not_measured_and_delay_nothing() -> None:
    fanout, _ = begin(7, cost_s=0.001)
    fanout.flusher._cpu_time = lambda: pytest.fail("asked for the CPU time")
    assert settled_interval(fanout) == 0.0


def test_a_stream_that_begins_or_goes_on_beside_a_large_one_stretches_no_interval() -> None:
    fanout, _ = begin(1000, cost_s=0.000_004, cpu_share=0.2)
    for number in range(40):
        fanout.loop.now += 0.033
        fanout.push(Role.FRAME, b"F")
        if number >= 30:
            small = Costly(fanout, 1, 0.0)
            small.times.flushed_at = 0.0 if number % 2 else fanout.loop.now - 500
            fanout.flusher.flush(small)
        fanout.flush()
        if number >= 20:
            assert fanout.flusher.interval_s == pytest.approx(0.02, rel=0.2)
