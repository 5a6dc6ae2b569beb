"""Run the failure lab: ``python -m tests.failure.run [--short] [--long] [--write] [SCENARIO ...]``.

Prints a line per scenario as it ends; the exit code says whether all held. With ``--write`` the
table goes to tests/failure/RESULTS.md and RESULTS.json; where scenarios are named, their rows take
the place of those that stand there, and the page says so. What the machine cannot run is skipped,
and said so in all of them.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from common.errors import HeadwaterError
from tests.failure.catalogue import BY_NAME, SCENARIOS
from tests.failure.lab import FULL, SHORT, Profile
from tests.failure.report import (
    Results,
    Skipped,
    as_json,
    as_markdown,
    cells,
    from_json,
    machine,
)
from tests.failure.row import Row
from tests.failure.scenario import Scenario, run_scenario
from tests.support.lab_child import LabChildError
from tests.support.lossy_way import CannotBeHad

_FOLDER = Path(__file__).parent


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.failure.run")
    parser.add_argument("scenarios", nargs="*", choices=[*BY_NAME, []], metavar="SCENARIO")
    parser.add_argument("--short", action="store_true", help="fewer streams and viewers")
    parser.add_argument("--quick", action="store_true", help="the quickest scenarios only")
    parser.add_argument("--long", action="store_true", help="those that take minutes, too")
    parser.add_argument("--write", action="store_true", help="write RESULTS.md and RESULTS.json")
    parser.add_argument("--list", action="store_true", help="say what there is")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; return the exit code."""
    asked = _parse(arguments)
    chosen = [BY_NAME[name] for name in asked.scenarios] or [
        each
        for each in SCENARIOS
        if (each.quick or not asked.quick) and (asked.long or not each.long)
    ]
    if asked.list:
        for scenario in chosen:
            _say(f"{scenario.name:<36} {scenario.title}\n")
        return 0
    profile = SHORT if asked.short else FULL
    facts = machine()
    outcomes = [_run(scenario, profile) for scenario in chosen]
    rows = [each for each in outcomes if isinstance(each, Row)]
    skipped = [each for each in outcomes if isinstance(each, Skipped)]
    if asked.write:
        results = Results(
            rows=rows, skipped=skipped, profile=profile, facts=facts, command="make failure-lab"
        )
        _write(results, is_part=bool(asked.scenarios))
    return int(None in outcomes or any(row.problems or row.late for row in rows))


def _write(results: Results, *, is_part: bool) -> None:
    data = _FOLDER / "RESULTS.json"
    if is_part:
        results = from_json(data.read_text(), results.profile).with_part(results)
    data.write_text(as_json(results) + "\n")
    _FOLDER.joinpath("RESULTS.md").write_text(as_markdown(results))


def _run(scenario: Scenario, profile: Profile) -> Row | Skipped | None:
    """Run a scenario and say how it went; None when it broke."""
    _say(f"{scenario.name}: ")
    try:
        row = uvloop.run(run_scenario(scenario, profile))
    except CannotBeHad as error:
        _say(f"skipped: {error}\n")
        return Skipped(scenario.name, scenario.title, str(error))
    except (HeadwaterError, LabChildError, TimeoutError, OSError) as error:
        _say(f"could not be run: {type(error).__name__}: {error}\n")
        return None
    _say(" | ".join(cells(row)[1:]) + "\n")
    for problem in row.problems + row.late:
        _say(f"    {problem}\n")
    return row


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
