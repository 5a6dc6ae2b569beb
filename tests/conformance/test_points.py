"""The points of docs/conformance.md and the tests that name them."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
POINTS = TESTS.parent / "docs" / "conformance.md"

ROW = re.compile(r"^\| (\d+) \| (not yet: )?", re.MULTILINE)
NAMED = re.compile(r"def test_((?:c\d+_)+)")
SAID = re.compile(r"[Cc]onformance (\d+(?:(?:, | and )\d+)*)")


def named_by_tests() -> set[int]:
    found = set()
    for path in TESTS.rglob("test_*.py"):
        text = path.read_text()
        for mention in NAMED.findall(text) + SAID.findall(text):
            found |= {int(number) for number in re.findall(r"\d+", mention)}
    return found


def test_points_are_numbered_from_one_without_a_gap() -> None:
    numbers = [int(number) for number, _ in ROW.findall(POINTS.read_text())]
    assert numbers == list(range(1, len(numbers) + 1))


def test_each_point_has_a_test_or_says_that_it_does_not_hold_yet() -> None:
    rows = ROW.findall(POINTS.read_text())
    assert named_by_tests() == {int(number) for number, not_yet in rows if not not_yet}
