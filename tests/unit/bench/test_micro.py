import pytest

from tests.bench.micro.compare import BASELINE, Row, compare

NOW = {"test_machine": 200.0, "test_flush[1]": 30.0, "test_new": 7.0}


def test_a_slower_machine_is_no_regression() -> None:
    before = {"test_machine": 100.0, "test_flush[1]": 10.0}
    flush, new = compare(NOW, before)
    assert flush == Row(name="flush[1]", us=30.0, ratio=pytest.approx(1.5))
    assert new == Row(name="new", us=7.0, ratio=None)


def test_without_a_baseline_everything_is_new() -> None:
    assert [row.ratio for row in compare(NOW, {})] == [None, None]


def test_a_baseline_is_there() -> None:
    assert BASELINE.exists()
