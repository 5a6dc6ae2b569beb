"""The soak finds what grows, and only that."""

from collections.abc import Callable

import pytest

from tests.failure import soak
from tests.failure.soak import Figures, Series

LEVELS = {"memory_mib": 100.0, "descriptors": 60.0, "tasks": 40.0, "redis_keys": 20.0}


def series(values: list[float]) -> Series:
    return Series([(float(at), value) for at, value in enumerate(values)])


def figures(
    monkeypatch: pytest.MonkeyPatch, what: str, value_at: Callable[[int], float]
) -> Figures:
    seen = Figures()
    for at in range(90):
        monkeypatch.setattr(soak, "monotonic", lambda at=at: float(at))
        seen.add(what, "origin-1/42", value_at(at))
    return seen


def test_growth_is_from_the_first_third_to_the_last_of_what_came_after_the_warm_up() -> None:
    steps = series([900.0] * 5 + [10.0] * 3 + [11.0] * 3 + [15.0] * 3)
    assert steps.growth(since=5) == pytest.approx(5.0)
    assert steps.growth(since=9) is None, "too little to tell"


@pytest.mark.parametrize(("what", "level"), LEVELS.items())
def test_what_grows_without_end_is_found(
    what: str, level: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    slack = soak.SLACK[what] + soak.RELATIVE_SLACK * level
    growing = figures(monkeypatch, what, lambda at: level + at / 90 * 3 * slack)
    (said,) = growing.grown(since=18)
    assert said.startswith(f"{what} of origin-1/42 grew by ")


@pytest.mark.parametrize(("what", "level"), LEVELS.items())
def test_what_comes_and_goes_or_was_only_warming_up_is_none(
    what: str, level: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    swing = soak.SLACK[what] * 2
    assert figures(monkeypatch, what, lambda at: level + swing * (at % 2)).grown(since=18) == []
    assert figures(monkeypatch, what, lambda at: level * min(at / 18, 1)).grown(since=18) == []


def test_processes_are_looked_at_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Figures()
    for at in range(90):
        monkeypatch.setattr(soak, "monotonic", lambda at=at: float(at))
        seen.add("descriptors", "origin-1/1", 300.0 - at)  # one that shrinks hides no other
        seen.add("descriptors", "origin-1/2", 20.0 + at)
    assert [said.split()[2] for said in seen.grown(since=18)] == ["origin-1/2"]
    assert seen.last("descriptors") == 300.0 - 89 + 20 + 89
