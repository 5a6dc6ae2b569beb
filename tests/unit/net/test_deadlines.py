"""One timer for all deadlines, with a clock that stands still."""

import asyncio

import pytest

from common.clock import ManualClock
from common.net.deadlines import NEVER, TICK_S, Deadlines
from tests.support.fanout import ManualLoop


class Sleeper:
    def __init__(self, *deadlines: float | None) -> None:
        self.watched_at = NEVER
        self.called: list[float] = []
        self._next = list(deadlines)

    def check_deadline(self, now: float) -> float | None:
        self.called.append(now)
        return self._next.pop(0) if self._next else None


class Bench:
    """Deadlines, and a way to let time pass."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = ManualClock()
        self.timers = ManualLoop()
        loop = asyncio.new_event_loop()
        monkeypatch.setattr(loop, "call_later", self.timers.call_later)
        loop.close()
        self.deadlines = Deadlines(loop, self.clock.monotonic)

    def tick(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.timers.now += max(seconds, TICK_S)
        self.timers.turn()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def test_a_waiter_is_called_at_its_time_and_again_at_the_next(bench: Bench) -> None:
    start = bench.clock.now
    sleeper = Sleeper(start + 5)
    bench.deadlines.watch(sleeper, start + 2)
    bench.tick(1)
    assert sleeper.called == []
    bench.tick(1)
    bench.tick(2)
    assert sleeper.called == [start + 2]
    bench.tick(1)
    assert sleeper.called == [start + 2, start + 5]
    bench.tick(100)
    assert len(sleeper.called) == 2


def test_a_deadline_that_moves_earlier_is_kept_and_the_old_one_ignored(bench: Bench) -> None:
    start = bench.clock.now
    sleeper = Sleeper(start + 20)
    bench.deadlines.watch(sleeper, start + 10)
    bench.deadlines.watch(sleeper, start + 1)
    bench.tick(1)
    assert sleeper.called == [start + 1]
    bench.tick(9)
    assert sleeper.called == [start + 1]
    bench.tick(10)
    assert sleeper.called == [start + 1, start + 20]


def test_a_deadline_that_moves_later_is_noticed_when_the_old_one_comes(bench: Bench) -> None:
    start = bench.clock.now
    sleeper = Sleeper(start + 7)
    bench.deadlines.watch(sleeper, start + 2)
    bench.deadlines.watch(sleeper, start + 7)
    bench.tick(2)
    bench.tick(5)
    assert sleeper.called == [start + 2, start + 7]


def test_without_a_deadline_nobody_is_watched(bench: Bench) -> None:
    bench.deadlines.watch(Sleeper(), None)
    assert bench.timers.next_timer is None


def test_the_timer_rests_when_nobody_is_watched(bench: Bench) -> None:
    bench.deadlines.watch(Sleeper(), bench.clock.now + 1)
    bench.tick(1)
    bench.tick(1)
    assert bench.timers.next_timer is None


def test_who_is_forgotten_is_not_called_and_can_be_watched_again(bench: Bench) -> None:
    start = bench.clock.now
    sleeper = Sleeper()
    bench.deadlines.watch(sleeper, start + 1)
    bench.deadlines.forget(sleeper)
    bench.deadlines.forget(sleeper)
    bench.tick(1)
    assert sleeper.called == []
    bench.deadlines.watch(sleeper, start + 2)
    bench.tick(1)
    assert sleeper.called == [start + 2]


def test_who_is_forgotten_by_another_at_the_same_time_is_not_called(bench: Bench) -> None:
    first, second = Sleeper(), Sleeper()

    def forget_both(now: float) -> None:
        first.called.append(now)
        bench.deadlines.forget(first)
        bench.deadlines.forget(second)

    for each in (first, second):
        each.check_deadline = forget_both  # type: ignore[method-assign] # whoever comes first
        bench.deadlines.watch(each, bench.clock.now + 1)
    bench.tick(1)
    assert len(first.called) == 1
