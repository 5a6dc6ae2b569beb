from hypothesis import given
from hypothesis import strategies as st

from common.backoff import Backoff


def longest(low: float, high: float) -> float:
    return high


def shortest(low: float, high: float) -> float:
    return low


def test_pauses_double_up_to_the_maximum() -> None:
    backoff = Backoff(0.2, 1.0, uniform=longest)
    assert [backoff.next_s() for _ in range(5)] == [0.2, 0.4, 0.8, 1.0, 1.0]


def test_jitter_shortens_a_pause_by_up_to_a_half() -> None:
    backoff = Backoff(0.2, 1.0, uniform=shortest)
    assert [backoff.next_s() for _ in range(4)] == [0.1, 0.2, 0.4, 0.5]


def test_a_reset_begins_anew() -> None:
    backoff = Backoff(0.2, 1.0, uniform=longest)
    backoff.next_s()
    backoff.next_s()
    backoff.reset()
    assert backoff.next_s() == 0.2


@given(failures=st.integers(0, 5000))
def test_a_pause_is_always_within_its_bounds(failures: int) -> None:
    backoff = Backoff(0.2, 10.0)
    for _ in range(failures):
        backoff.next_s()
    assert 0.1 <= backoff.next_s() <= 10.0
