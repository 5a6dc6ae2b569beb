import pytest

from common.supervisor.exit_codes import REPLACED, ExitCode, describe_exit


@pytest.mark.parametrize(
    ("code", "word"),
    [(0, "ok"), (4, "could_not_boot"), (ExitCode.ORPHANED, "orphaned"), (-9, "signal_9")],
)
def test_a_known_exit_has_a_word(code: int, word: str) -> None:
    assert describe_exit(code) == word


def test_exits_that_the_runbook_explains_are_expected() -> None:
    assert set(REPLACED) >= {"crashed", "signal_6", "signal_9"}


def test_an_unknown_exit_is_told_by_its_number() -> None:
    assert describe_exit(70) == "exit_70"
