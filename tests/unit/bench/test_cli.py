import sys

import pytest
from typer.testing import CliRunner, Result

from common.cli.main import app as headwater_app
from tests.bench.cli import app
from tests.bench.scenarios import SCENARIOS


def bench(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_the_help_names_every_scenario() -> None:
    shown = bench("--help").stdout
    assert all(f"{name} " in shown for name in [*SCENARIOS, "all"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("nothing",),
        ("fanout", "nothing"),
        ("fanout", "--players", "0"),
        ("fanout", "--seconds", "soon"),
        ("fanout", "--unknown"),
        ("fanout", "--code", "/nowhere"),
        ("fanout", "--code", "/"),  # or it would measure the code that runs, and say nothing
    ],
)
def test_bad_use_is_exit_code_2_with_the_problem_on_stderr(arguments: tuple[str, ...]) -> None:
    result = bench(*arguments)
    assert result.exit_code == 2
    assert result.stderr


def test_a_file_that_cannot_be_published_is_said_so() -> None:
    result = bench("fanout", "--no-peers", "--flv", "/dev/null")
    assert result.exit_code == 1
    assert "/dev/null" in result.stderr


def test_the_command_hands_everything_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", sys.argv)
    result = CliRunner().invoke(headwater_app, ["bench", "fanout", "--players", "0"])
    assert result.exit_code == 2
    assert "--players" in result.stderr


def test_without_its_extra_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("common.cli.bench.util.find_spec", lambda name: None)
    result = CliRunner().invoke(headwater_app, ["bench", "--help"])
    assert result.exit_code == 1
    assert "pip install 'headwater[bench]'" in result.stderr
