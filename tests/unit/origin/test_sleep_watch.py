from common.clock import ManualClock
from origin.sleep_watch import TICKS_PER_LIMIT, SleepWatch
from tests.support.wait import until


class Woken:
    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


def test_sleep_is_noticed_without_a_tick_and_told_once() -> None:
    clock, woken = ManualClock(), Woken()
    watch = SleepWatch(10, woken, clock.monotonic)
    clock.advance(10)
    assert not watch.overslept
    clock.advance(0.1)
    assert watch.overslept
    assert watch.overslept
    assert woken.times == 1


def test_ticks_show_that_there_was_no_sleep() -> None:
    clock, woken = ManualClock(), Woken()
    watch = SleepWatch(10, woken, clock.monotonic)
    for _ in range(100):
        clock.advance(9)
        watch.tick()
    assert not watch.overslept
    assert woken.times == 0


def test_only_what_was_asked_after_waking_ends_the_doubt() -> None:
    clock = ManualClock()
    watch = SleepWatch(10, Woken(), clock.monotonic)
    before = clock.now
    clock.advance(11)
    watch.confirm(before)  # nobody had looked at the clock yet
    assert watch.overslept
    clock.advance(1)
    watch.confirm(before)
    assert watch.overslept
    watch.confirm(clock.now)
    assert not watch.overslept


async def test_it_ticks_by_itself_until_closed() -> None:
    watch = SleepWatch(TICKS_PER_LIMIT * 0.001, Woken())
    watch.start()
    first = watch._ticked_at
    await until(lambda: watch._ticked_at > first)
    watch.close()
    assert watch._timer is not None
    assert watch._timer.cancelled()
