from dataclasses import replace

from tests.bench.load import Met
from tests.support.bench_trials import MET

REPORT = {
    "event": "result",
    "players": 2,
    "started": 1,
    "failed": {"refused": 1},
    "disconnected": {"closed by the server": 1},
    "seconds": 5.0,
    "kbps": [800.0, 850.0],
    "bytes": 7,
    "reads": 3,
    "messages": 0,
    "longest_gap_ms": 80.0,
    "first_keyframe_ms": [9.0],
    "latencies_ms": [],
    "errors": ["wanted message 3"],
    "stalled": [{"end": "", "skips": 1, "errors": ["late"]}],
    "own_cpu_share": 0.2,
}


def test_what_several_processes_met_adds_up() -> None:
    both = Met() + MET + Met.from_report(REPORT)
    assert (both.players, both.started, both.reads) == (12, 11, 603)
    assert (both.min_kbps, both.max_kbps) == (800.0, 1000.0)
    assert both.longest_gap_ms == 80.0
    assert both.first_keyframe_ms == [1.0, 2.0, 9.0]
    assert both.seconds == 6.0
    assert both.reads_per_player_s == 603 / 11 / 6


def test_a_process_without_players_takes_nothing_from_the_others() -> None:
    nobody = replace(Met.from_report(REPORT), players=0, started=0, min_kbps=0.0, max_kbps=0.0)
    assert (MET + nobody).min_kbps == 900.0


def test_all_that_is_wrong_is_told() -> None:
    assert Met.from_report(REPORT).problems() == [
        "1 players did not start: refused",
        "1 players dropped: closed by the server",
        "wanted message 3",
        "late",
    ]
    assert MET.problems() == []
