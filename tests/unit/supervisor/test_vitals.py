import asyncio
import os
from pathlib import Path

import pytest

from common.supervisor import vitals
from common.supervisor.vitals import VitalsMeter


def test_the_process_is_measured() -> None:
    here = VitalsMeter().measure(0)
    assert 1_000_000 < here.memory_bytes < 1 << 40
    assert 0 < here.open_fds <= here.max_fds
    assert here.cpu_share >= 0


def test_open_files_are_counted() -> None:
    before = VitalsMeter().measure(0).open_fds
    with open(os.devnull), open(os.devnull):
        assert VitalsMeter().measure(0).open_fds == before + 2


def test_the_egress_rate_is_the_one_since_the_last_call(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(vitals.time, "monotonic", lambda: now)
    meter = VitalsMeter()
    now = 102.0
    assert meter.measure(1000).egress_bps == 4000
    now = 103.0
    assert meter.measure(1500).egress_bps == 4000


async def test_a_pause_measures_how_late_the_loop_was_and_counts_its_tasks() -> None:
    meter = VitalsMeter()
    await meter.pause(0.0)
    here = meter.measure(0)
    assert 0 <= here.loop_lag_s < 1
    assert here.tasks == len(asyncio.all_tasks())


def test_a_system_without_proc_has_figures_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vitals, "_STATM", Path("/nowhere"))
    monkeypatch.setattr(vitals, "_FDS", Path("/nowhere"))
    here = VitalsMeter().measure(0)
    assert here.memory_bytes > 1_000_000
    assert here.open_fds == 0
