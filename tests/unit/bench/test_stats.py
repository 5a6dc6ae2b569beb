import pytest

from tests.bench.stats import Percentiles, Spread, number, ratios


def test_percentiles() -> None:
    assert Percentiles.of([]) is None
    assert Percentiles.of([3.0]) == Percentiles(count=1, p50=3.0, p99=3.0, max=3.0)
    assert Percentiles.of(range(101)) == Percentiles(count=101, p50=50, p99=99, max=100)
    assert Percentiles.of([3, 1, 2]) == Percentiles(count=3, p50=2, p99=3, max=3)


def test_a_spread_is_the_median_and_both_ends() -> None:
    assert Spread.of([]) is None
    assert Spread.of([5.0, 1.0, 3.0]) == Spread(median=3.0, low=1.0, high=5.0)
    assert str(Spread.of([5.0, 1.0, 3.0])) == "3.00 (1.00..5.00)"
    assert str(Spread.of([5.0])) == "5.00"


def test_ratios_are_of_figures_from_the_same_round() -> None:
    assert ratios([1.0, 6.0], [2.0, 3.0]) == Spread(median=1.25, low=0.5, high=2.0)
    assert ratios([1.0], [0.0]) is None, "nothing to compare with"
    assert ratios([1.0, 6.0, 9.0], [2.0]) == Spread(median=0.5, low=0.5, high=0.5)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.123, "0.12"), (9.99, "9.99"), (12.34, "12.3"), (1234.5, "1,234"), (0, "0.00")],
)
def test_numbers_have_about_three_digits(value: float, text: str) -> None:
    assert number(value) == text
