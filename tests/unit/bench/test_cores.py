"""Real processes and the cores that the kernel says they may use."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.bench.cores import apart

CORES = os.sched_getaffinity(0)

pytestmark = pytest.mark.skipif(len(CORES) < 2, reason="one core: nothing to keep apart")


@contextmanager
def idling() -> Iterator[subprocess.Popen[bytes]]:
    """Runs a process that waits until its input ends."""
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        yield child


@pytest.fixture
def idle() -> Iterator[subprocess.Popen[bytes]]:
    with idling() as child:
        yield child


def test_a_judged_process_shares_its_core_with_nothing_of_the_bench(
    idle: subprocess.Popen[bytes],
) -> None:
    with apart([idle.pid], []):
        own, rest = os.sched_getaffinity(idle.pid), os.sched_getaffinity(0)
        assert len(own) == 1
        assert own | rest == CORES
        assert not own & rest
        with subprocess.Popen([sys.executable, "-c", ""]) as later:
            assert os.sched_getaffinity(later.pid) == rest
    assert os.sched_getaffinity(idle.pid) == os.sched_getaffinity(0) == CORES


def test_what_belongs_to_the_server_besides_is_kept_off_its_core(
    idle: subprocess.Popen[bytes],
) -> None:
    with idling() as other, apart([idle.pid], [other.pid]):
        assert os.sched_getaffinity(other.pid) == os.sched_getaffinity(0)
        assert not os.sched_getaffinity(other.pid) & os.sched_getaffinity(idle.pid)


def test_where_no_core_would_be_left_nothing_moves(idle: subprocess.Popen[bytes]) -> None:
    with apart([idle.pid] * len(CORES), []):
        assert os.sched_getaffinity(idle.pid) == os.sched_getaffinity(0) == CORES


def test_a_process_that_has_ended_is_none_to_move(idle: subprocess.Popen[bytes]) -> None:
    with apart([idle.pid], []):
        idle.communicate()
    assert os.sched_getaffinity(0) == CORES


def test_a_server_that_has_ended_before_is_passed_over() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with apart([ended.pid], []):
        assert len(os.sched_getaffinity(0)) == len(CORES) - 1
    assert os.sched_getaffinity(0) == CORES
