from dataclasses import replace

import pytest

from tests.bench.result import (
    Goal,
    cpu,
    cpu_growth,
    cpu_per_player,
    p99,
    ratio,
    shown,
    spread,
    writes,
)
from tests.bench.scenarios.base import cost_table
from tests.bench.scenarios.limit import held
from tests.bench.stats import Spread
from tests.bench.trial import Flushes
from tests.support.bench_trials import MET, trial


def test_ratios_compare_round_by_round() -> None:
    ours, theirs = [trial(cpu=10), trial(cpu=30)], [trial(cpu=40), trial(cpu=60)]
    assert ratio(ours, theirs, cpu) == Spread(median=0.375, low=0.25, high=0.5)
    assert ratio(ours, [], cpu) is None
    nobody = [replace(each, usage=None) for each in theirs]
    assert ratio(ours, nobody, cpu) is None


def test_figures_of_a_trial() -> None:
    one = trial()
    assert cpu(one) == pytest.approx(20)
    assert cpu_per_player(one) == pytest.approx(2)
    assert cpu_growth(one) == pytest.approx(42 / 30)
    assert p99(one) == 3.0
    assert writes(one) == 20.0
    assert p99(replace(one, met=replace(MET, latencies_ms=[]))) is None


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (None, "not measured"),
        (Spread(median=1, low=0, high=9), "met"),
        (Spread(median=3, low=0, high=9), "MISSED"),
    ],
)
def test_a_goal_is_judged_by_the_median(value: Spread | None, verdict: str) -> None:
    goal = Goal(text="CPU", value=value, limit=2.0, unit="%")
    assert goal.verdict == verdict
    assert goal.row == ("CPU", "-" if value is None else f"{value} %", "2.00 %", verdict)


def test_a_cost_table_has_a_row_for_each_contender() -> None:
    table = cost_table({"ours": [trial(cpu=10), trial(cpu=20)], "theirs": []})
    assert [row[0] for row in table.rows] == ["ours", "theirs"]
    assert table.rows[0][2] == "15.0 (10.0..20.0)"
    assert set(table.rows[1][1:]) == {shown(spread([], cpu))} == {"-"}
    assert all(len(row) == len(table.headings) for row in table.rows)


def test_ten_thousand_players_hold_when_nobody_is_lost_skipped_or_late() -> None:
    good = trial()
    assert held(good)
    assert not held(replace(good, problems=["1 players dropped: reset"]))
    assert not held(replace(good, met=replace(MET, failed={"refused": 1})))
    assert not held(replace(good, met=replace(MET, latencies_ms=[500.0])))
    skipping = Flushes(interval_ms=50, cost_ms=1, skipped=1, kicked=0)
    assert not held(replace(good, flushes=skipping))
