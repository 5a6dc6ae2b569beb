"""How far apart flushes are, from what they cost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.config.model import FanoutSettings
from common.stream.pace import Pace


def pace(**settings: float) -> Pace:
    return Pace(
        FanoutSettings.model_validate({"cpu_share": 0.1, "max_interval_ms": 1000, **settings})
    )


def run(
    pace: Pace, cost_s: float, spacing_s: float, *, outputs: int = 1, seconds: float = 3
) -> float:
    """Flushes each of so many outputs in a round of its own, in turn; returns the interval."""
    step = spacing_s / outputs
    now = 1000.0
    while now < 1000 + seconds:
        pace.note_round(cost_s, spacing_s, now)
        now += step
    return pace.interval_s


def test_one_output_takes_its_share() -> None:
    assert run(pace(), 0.004, 0.033) == pytest.approx(0.04, rel=0.02)


@pytest.mark.parametrize("spacing_s", [0.01, 0.033, 0.2])
def test_how_often_it_is_flushed_does_not_matter(spacing_s: float) -> None:
    assert run(pace(), 0.004, spacing_s) == pytest.approx(0.04, rel=0.02)


def test_a_hundred_outputs_in_turn_cost_what_one_of_all_their_viewers_does() -> None:
    assert run(pace(), 0.000_04, 0.05, outputs=100) == pytest.approx(0.04, rel=0.02)


def test_after_a_pause_what_was_is_forgotten() -> None:
    each = pace()
    run(each, 0.01, 0.033)
    each.note_round(0.000_01, 1, 2000)
    assert each.interval_s < 0.001


def test_the_bounds_hold() -> None:
    assert pace(min_interval_ms=20).interval_s == pytest.approx(0.02)
    assert run(pace(min_interval_ms=20), 0, 0.033) == pytest.approx(0.02)
    assert run(pace(max_interval_ms=80), 0.05, 0.1) == pytest.approx(0.08)


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(0, 1e6), st.floats(0, 1e4)), min_size=1, max_size=50
    )
)
def test_whatever_comes_the_interval_stays_within_its_bounds(
    rounds: list[tuple[float, float, float]],
) -> None:
    each = pace(min_interval_ms=5, max_interval_ms=100)
    now = 0.0
    for cost_s, spacing_s, passed_s in rounds:
        now += passed_s
        each.note_round(cost_s, spacing_s, now)
        assert 0.005 <= each.interval_s <= 0.1
