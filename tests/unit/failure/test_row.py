"""A row says what was seen, and what should not have been."""

import pytest

from tests.failure.report import cells, table
from tests.failure.row import Limits, Observed
from tests.support.lab_rows import STREAM, observed, row_of, viewer


def test_the_figures_of_a_good_run() -> None:
    row = row_of(observed(viewer(), viewer(stream="live/other", gap_ms=45.0)))
    assert (row.viewers, row.affected, row.disconnected) == (2, 1, 0)
    assert row.gap_ms == {"p50": 80.0, "p99": 80.0, "max": 80.0}
    assert row.others_gap_ms == {"p50": 45.0, "p99": 45.0, "max": 45.0}
    assert row.fault_to_keyframe_ms == {"p50": 70.0, "p99": 70.0, "max": 70.0}
    assert row.reconnect_ms == {"p50": 40.0, "p99": 40.0, "max": 40.0}
    assert row.new_source_ms == {"p50": 20.0, "p99": 20.0, "max": 20.0}
    assert row.wrong_route_ms == pytest.approx(40.0)
    assert row.rss_mib == (50.0, 60.0), "of processes that lived through it"
    assert (row.problems, row.late) == ([], [])


@pytest.mark.parametrize(
    ("seen", "problem"),
    [
        (observed(viewer(disconnects=["peer_closed"])), "1 viewers disconnected: peer_closed"),
        (observed(viewer(back_ms=40)), "time went back by 40 ms"),
        (observed(viewer(lost=3), viewer(lost=2)), "5 messages lost"),
        (observed(viewer(repeated=1)), "1 messages repeated"),
        (observed(viewer(stale=1)), "1 messages of a session that was over"),
        (observed(viewer(wrong_headers=1)), "1 keyframes behind the wrong codec header"),
        (observed(viewer(), overlap_s=1.0), "two owners for 1000 ms"),
        (observed(viewer(), overlap_s=0.26), "two owners for 260 ms"),
        (observed(viewer(), grown_mib=23), "memory grew from 50.0 to 83.0 MiB"),
        (observed(viewer(), opened=39), "descriptors grew from 20 to 61"),
        (
            observed(viewer(disconnects=["eof"]), viewer(disconnects=["eof"]), victims=1),
            "1 viewers disconnected: eof",
        ),
        (observed(viewer(), problems=("the node ended late",)), "the node ended late"),
    ],
)
def test_what_must_not_be_is_said(seen: Observed, problem: str) -> None:
    (said,) = row_of(seen).problems
    assert said.startswith(problem)


def test_what_takes_longer_than_it_should_is_late() -> None:
    hit = viewer(disconnects=["eof"], gap_ms=2000.0)
    other = viewer(stream="live/other", gap_ms=600.0)
    seen = observed(viewer(), hit, other, victims=1)
    row = row_of(seen, Limits(gap_ms=79, hit_gap_ms=1999, new_source_ms=19))
    assert row.problems == []
    assert [each.partition(",")[0] for each in row.late] == [
        "a gap of 80 ms",
        "for those hit a gap of 2000 ms",
        "for others a gap of 600 ms",
        "new source (p99) after 20 ms",
    ]


def test_a_stream_without_its_new_session_is_a_problem_where_one_is_due() -> None:
    seen = observed(viewer())
    seen.news.told.pop()
    assert row_of(seen).problems == [f"{STREAM}: no new publish session"]
    assert row_of(seen, Limits(new_session=False)).problems == []


def test_a_table_has_a_line_for_each_row() -> None:
    row = row_of(observed(viewer(lost=1)))
    head, rule, line = table([row])
    assert head.count("|") == rule.count("|") == line.count("|")
    assert cells(row)[:4] == ["Title", "0 / 1", "-", "80 / 80 / 80"]
    assert cells(row)[-1] == "**fails**"


def test_where_one_edge_is_concerned_the_viewers_of_another_are_others() -> None:
    here, there = viewer(), viewer(home=1, gap_ms=45.0)
    row = row_of(observed(here, there, edge=0))
    assert (row.affected, row.gap_ms) == (1, {"p50": 80.0, "p99": 80.0, "max": 80.0})
    assert row.others_gap_ms == {"p50": 45.0, "p99": 45.0, "max": 45.0}
