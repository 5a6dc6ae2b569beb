"""The lab's command fails when anything did not hold, or broke; what cannot be had is told."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.failure import run
from tests.failure.catalogue import SCENARIOS
from tests.failure.lab import SHORT, Profile
from tests.failure.report import Results, Skipped, as_json, as_markdown, from_json
from tests.failure.row import Limits, Row
from tests.failure.scenario import Scenario
from tests.support.lab_rows import observed, row_of, viewer
from tests.support.lossy_way import CannotBeHad

HOLDS = row_of(observed(viewer()))
DISCONNECTED = row_of(observed(viewer(disconnects=["eof"])))
LATE = row_of(observed(viewer()), Limits(gap_ms=79))

FACTS: dict[str, Any] = dict.fromkeys(
    ("cores", "cpu", "system", "python", "redis", "headwater", "commit", "taken_at", "load_average")
)


def one_after_the_other(
    outcomes: Sequence[Row | Exception],
) -> Callable[[Scenario, Profile], Awaitable[Row]]:
    left = list(outcomes)

    async def run_scenario(scenario: Scenario, profile: Profile) -> Row:
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return run_scenario


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([HOLDS, HOLDS], 0),
        ([HOLDS, DISCONNECTED], 1),
        ([LATE, HOLDS], 1),
        ([HOLDS, TimeoutError("not all viewers play")], 1),
        ([HOLDS, CannotBeHad("no iptables")], 0),
    ],
    ids=["holds", "fails", "late", "broken", "skipped"],
)
def test_exit_code_says_whether_all_held(
    outcomes: list[Row | Exception], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "run_scenario", one_after_the_other(outcomes))
    assert run.main(["origin-node-killed", "redis-flushed"]) == code


def results(row: Row, *skipped: Skipped) -> Results:
    return Results(
        rows=[row], skipped=skipped, profile=SHORT, facts=FACTS, command="make failure-lab"
    )


def test_what_could_not_be_run_stands_in_the_results() -> None:
    seen = results(HOLDS, Skipped("loss", "1 % lost", "no iptables"))
    page = as_markdown(seen)
    assert "* 1 % lost (loss): no iptables" in page
    told = json.loads(as_json(seen))
    assert told["skipped"] == [{"scenario": "loss", "title": "1 % lost", "reason": "no iptables"}]
    assert len(told["rows"]) == 1


def test_what_did_not_hold_stands_in_the_results() -> None:
    page = as_markdown(results(DISCONNECTED))
    assert "* name: 1 viewers disconnected: eof" in page
    assert "cannot run" not in page


def test_a_scenario_that_is_run_again_takes_the_place_of_its_former_row() -> None:
    former = Results(
        rows=[LATE, replace(HOLDS, scenario="other")],
        skipped=[Skipped("loss", "1 % lost", "no iptables")],
        profile=SHORT,
        facts=FACTS,
        command="make failure-lab",
    )
    read = from_json(as_json(former), SHORT)
    part = replace(results(HOLDS), facts=FACTS | {"commit": "abc123"})
    both = read.with_part(part)
    assert [row.scenario for row in both.rows] == [HOLDS.scenario, "other"]
    assert not any(row.late for row in both.rows)
    assert f"Run again later, alone: {HOLDS.scenario} (at abc123)." in as_markdown(both)
    assert both.skipped == former.skipped
    new = replace(HOLDS, scenario="new")
    more = both.with_part(replace(part, rows=[new]))
    assert [row.scenario for row in more.rows] == [HOLDS.scenario, "other", "new"]


def test_scenarios_of_the_short_run_need_no_lab_of_their_own() -> None:
    for each in SCENARIOS:
        needs = each.settings or each.extra_edges or each.sentinels or each.lossy or each.long
        assert not (each.quick and needs), each.name
    assert len({each.name for each in SCENARIOS}) == len(SCENARIOS)
