"""When an output is flushed: with its next message after the interval, and in any case in time."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.media.packet import Role
from tests.support.fanout import Fanout
from tests.support.rounds import GATHER_SHARE, Costly, begin, one_round, settle_at_once


def test_what_comes_too_soon_waits_for_the_first_message_that_does_not() -> None:
    fanout, (watcher,) = begin(1, min_interval_ms=50)
    one_round(fanout)
    began = fanout.loop.now
    for at_s, payload in [(0.01, b"F1"), (0.03, b"F2"), (0.049, b"F3")]:
        fanout.loop.now = began + at_s
        fanout.push(Role.FRAME, payload)
        fanout.loop.turn()
    assert watcher.payloads()[-1] == b"F"
    settle_at_once(fanout)
    assert watcher.payloads()[-3:] == [b"F1", b"F2", b"F3"]
    assert len(watcher.sink.writes) == 3


def test_a_message_that_is_hardly_too_soon_is_not() -> None:
    fanout, (watcher,) = begin(1, min_interval_ms=50)
    one_round(fanout)
    fanout.loop.now += 0.046
    fanout.push(Role.FRAME, b"F1")
    settle_at_once(fanout)
    assert watcher.payloads()[-1] == b"F1"


def test_a_message_waits_for_the_next_one_as_long_as_the_interval_at_most() -> None:
    fanout, (watcher,) = begin(1, min_interval_ms=50)
    one_round(fanout)
    fanout.loop.now += 0.02
    came = fanout.loop.now
    fanout.push(Role.FRAME, b"F1")
    fanout.loop.turn()
    assert fanout.loop.next_timer == pytest.approx(came + 0.05)
    fanout.flush()
    assert watcher.payloads()[-1] == b"F1"
    assert fanout.loop.now == pytest.approx(came + 0.05, abs=0.05 * GATHER_SHARE)


def test_outputs_are_held_each_for_its_own_time() -> None:
    fanout, _ = begin(0, min_interval_ms=50)
    one, other = Costly(fanout, 1, 0.0), Costly(fanout, 1, 0.0)
    fanout.flusher.flush(one)
    fanout.flush()
    fanout.loop.now += 0.03
    fanout.flusher.flush(other)
    fanout.flush()
    fanout.loop.now = one.times.flushed_at + 0.047
    fanout.flusher.wake(other)
    fanout.flusher.wake(one)
    settle_at_once(fanout)
    assert one.times.flushed_at == pytest.approx(fanout.loop.now, abs=0.05 * GATHER_SHARE)
    assert other.times.flushed_at < one.times.flushed_at
    fanout.flush()
    assert other.times.flushed_at == pytest.approx(
        one.times.flushed_at + 0.05, abs=2 * 0.05 * GATHER_SHARE
    )


def test_an_output_that_was_flushed_in_time_is_not_flushed_again_at_the_end_of_its_time() -> None:
    fanout, (watcher,) = begin(1, min_interval_ms=50)
    one_round(fanout)
    for payload in (b"F1", b"F2"):
        fanout.loop.now += 0.03
        fanout.push(Role.FRAME, payload)
        settle_at_once(fanout)
    assert len(watcher.sink.writes) == 3
    fanout.flush()  # the alarm for F1 comes
    assert len(watcher.sink.writes) == 3


@pytest.mark.parametrize("early_s", [0.0002, 0.002, 0.02])
def test_an_alarm_that_comes_early_asks_for_none_that_comes_at_once(early_s: float) -> None:
    fanout, (watcher,) = begin(1, min_interval_ms=50)
    loop = fanout.loop
    one_round(fanout)
    loop.now += 0.02
    fanout.push(Role.FRAME, b"F1")
    loop.turn()
    assert loop.next_timer is not None
    loop.now = loop.next_timer - early_s
    loop.fire_early()
    while watcher.payloads()[-1] != b"F1":
        assert loop.next_timer is not None
        assert loop.next_timer - loop.now >= 0.001 - 1e-9
        loop.now = loop.next_timer
        loop.turn()


def advance(fanout: Fanout, until: float) -> None:
    """Lets the time pass, and happen what is due in it."""
    loop = fanout.loop
    while loop.turn() or (loop.next_timer is not None and loop.next_timer <= until):
        if loop.next_timer is not None and loop.next_timer <= until:
            loop.now = max(loop.now, loop.next_timer)
    loop.now = until


@given(st.lists(st.floats(0.000_1, 0.2), min_size=1, max_size=60), st.sampled_from([20, 50, 110]))
def test_whenever_messages_come_each_is_written_once_and_in_time(
    pauses: list[float], interval_ms: int
) -> None:
    fanout, (watcher,) = begin(1, min_interval_ms=interval_ms, max_interval_ms=interval_ms)
    written: list[float] = []
    watcher.sink.on_write = lambda: written.append(fanout.loop.now)
    came = {}
    for number, pause in enumerate(pauses):
        advance(fanout, fanout.loop.now + pause)
        came[b"%d" % number] = fanout.loop.now
        fanout.push(Role.FRAME, b"%d" % number)
        advance(fanout, fanout.loop.now)
    advance(fanout, fanout.loop.now + 1)
    assert watcher.payloads()[1:] == list(came)
    interval = interval_ms / 1000
    for at in came.values():
        next_write = min(each for each in written if each >= at)
        assert next_write - at <= interval * (1 + GATHER_SHARE) + 1e-6
    for one, other in pairwise(written):
        assert other - one >= 0.9 * interval - 1e-6


def test_the_end_of_a_stream_writes_what_is_held() -> None:
    fanout, (watcher,) = begin(1, min_interval_ms=50)
    one_round(fanout)
    fanout.push(Role.FRAME, b"F1")
    fanout.stream.end("over")
    assert watcher.payloads()[-1] == b"F1"
    fanout.flush()
    assert watcher.payloads().count(b"F1") == 1


def test_after_a_pause_a_message_waits_for_no_more_than_what_comes_with_it() -> None:
    fanout, (watcher,) = begin(1, min_interval_ms=50)
    one_round(fanout)
    fanout.loop.now += 1
    fanout.push(Role.FRAME, b"F1")
    settle_at_once(fanout)
    assert watcher.payloads()[-1] == b"F1"
