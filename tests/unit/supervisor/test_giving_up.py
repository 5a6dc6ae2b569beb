"""When a node gives up: with the settings that it has by default, and a clock of its own."""

import math
from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from common.config.model import SupervisorSettings
from common.supervisor.exit_codes import ExitCode
from common.supervisor.generation import Phase
from tests.support.crew import NEVER_READY, TICK_S, Case

DEFAULTS = SupervisorSettings()
HOUR_S = 3600.0


@pytest.mark.parametrize(
    ("workers", "life_s", "within_s"),
    [(1, 0.05, 50.0), (1, NEVER_READY, 360.0), (2, 3.0, 80.0), (32, 3.0, 80.0)],
)
def test_workers_that_always_die_end_the_node_in_time(
    workers: int, life_s: float, within_s: float
) -> None:
    case = Case(workers, DEFAULTS)
    began = case.now
    died = case.live(lambda _: life_s, HOUR_S)
    assert case.crew.outcome.code is ExitCode.GAVE_UP
    assert case.now - began < within_s
    assert max(died.values()) == min(died.values()) == DEFAULTS.give_up_after


def test_many_that_die_once_of_one_cause_are_all_replaced() -> None:
    case = Case(32, DEFAULTS)
    lives = {slot: iter([600.0, math.inf]) for slot in range(32)}
    died = case.live(lambda slot: next(lives[slot]), 900.0)
    assert died == dict.fromkeys(range(32), 1)
    assert case.crew.phase is Phase.RUNNING
    assert len(case.crew.ready_slots) == 32


def test_one_that_always_dies_beside_others_is_tried_for_ever() -> None:
    case = Case(4, DEFAULTS)
    died = case.live(lambda slot: 0.0 if slot == 2 else math.inf, HOUR_S)
    assert case.crew.phase is Phase.RUNNING
    assert case.crew.ready_slots >= {0, 1, 3}
    tries = HOUR_S / DEFAULTS.backoff_max_s
    assert died.keys() == {2}
    assert 0.9 * tries < died[2] < 1.1 * tries


def test_one_that_was_cured_keeps_the_node_when_the_other_one_fails() -> None:
    case = Case(2, DEFAULTS)
    lives = {0: iter([0.0] * DEFAULTS.give_up_after), 1: iter([300.0])}
    rest = {0: math.inf, 1: 0.0}
    died = case.live(lambda slot: next(lives[slot], rest[slot]), 900.0)
    assert died[0] == DEFAULTS.give_up_after < died[1]
    assert case.crew.phase is Phase.RUNNING


def test_failures_that_a_worker_that_was_well_comes_between_are_not_in_a_row() -> None:
    case = Case(1, DEFAULTS)
    lives = cycle([0.0] * (DEFAULTS.give_up_after - 1) + [DEFAULTS.healthy_s + TICK_S])
    died = case.live(lambda _: next(lives), HOUR_S)
    assert case.crew.phase is Phase.RUNNING
    assert died[0] > 10 * DEFAULTS.give_up_after


SHORT_LIVES = st.lists(
    st.one_of(st.just(NEVER_READY), st.floats(0.0, DEFAULTS.healthy_s - TICK_S)),
    min_size=1,
    max_size=4,
)
"""Lives of the workers of a slot; they come again and again."""


@given(st.lists(SHORT_LIVES, min_size=1, max_size=4))
@hypothesis_settings(max_examples=50, deadline=None)
def test_a_node_where_no_worker_stays_well_ends_in_time(lives: list[list[float]]) -> None:
    case = Case(len(lives), DEFAULTS)
    began = case.now
    each = [cycle(slot) for slot in lives]
    case.live(lambda slot: next(each[slot]), HOUR_S)
    assert case.crew.outcome.code is ExitCode.GAVE_UP
    longest_s = DEFAULTS.healthy_s + DEFAULTS.backoff_max_s + 2 * TICK_S
    assert case.now - began <= DEFAULTS.give_up_after * longest_s


@given(st.lists(SHORT_LIVES, max_size=3), st.floats(DEFAULTS.healthy_s + TICK_S, 1000.0))
@hypothesis_settings(max_examples=50, deadline=None)
def test_a_node_with_a_worker_that_stays_well_goes_on(
    lives: list[list[float]], well_s: float
) -> None:
    case = Case(len(lives) + 1, DEFAULTS)
    each = [*map(cycle, lives), cycle([well_s])]
    case.live(lambda slot: next(each[slot]), HOUR_S / 2)
    assert case.crew.phase is Phase.RUNNING
