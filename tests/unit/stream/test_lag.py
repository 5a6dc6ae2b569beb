"""What was flushed within the lag limit, which is all that a viewer's lag is measured by."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.stream.lag import LagWindow

LIMIT_S = 3.0
MORE_S = LIMIT_S / 8
"""By so much longer it may be kept."""


@given(st.lists(st.tuples(st.floats(0.001, 1.0), st.integers(1, 100_000)), min_size=1, max_size=80))
def test_it_holds_what_was_flushed_within_the_limit_and_little_more(
    flushes: list[tuple[float, int]],
) -> None:
    window = LagWindow(LIMIT_S)
    now = 1000.0
    done: list[tuple[float, int]] = []
    for pause, size in flushes:
        now += pause
        window.note_flushed(size, now)
        done.append((now, size))
        within = sum(size for at, size in done if at >= now - LIMIT_S)
        at_most = sum(size for at, size in done if at >= now - LIMIT_S - MORE_S - 1e-6)
        assert within <= window.bytes <= at_most


def test_after_a_pause_what_came_before_does_not_count() -> None:
    window = LagWindow(LIMIT_S)
    window.note_flushed(500, 1000.0)
    window.note_flushed(20, 1100.0)
    assert window.bytes == 20


def test_lag_is_told_by_the_share_that_is_unsent() -> None:
    window = LagWindow(LIMIT_S)
    for number in range(21):
        window.note_flushed(1000, 1000.0 + number / 10)
    assert window.lag_s(0, 1002.0) == 0
    assert window.lag_s(window.bytes // 2, 1002.0) == pytest.approx(1.0, rel=0.1)


def test_nobody_lags_where_nothing_was_flushed() -> None:
    assert LagWindow(LIMIT_S).lag_s(0, 1000.0) == 0
