import pytest

from common.local.demo_figures import percentile


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([], 0.5, None),
        ([3.0], 0.99, 3.0),
        ([4.0, 1.0, 3.0, 2.0], 0.5, 3.0),
        (range(1, 101), 0.99, 100),
        (range(1, 101), 0.0, 1),
        (range(1, 101), 1.0, 100),
    ],
)
def test_percentiles(values: list[float], share: float, expected: float | None) -> None:
    assert percentile(values, share) == expected
