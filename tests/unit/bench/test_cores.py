"""Real processes and the cores that the kernel says they may use."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.bench.cores import apart

if not hasattr(os, "sched_getaffinity"):
    pytest.skip("this system has no such calls", allow_module_level=True)

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
    with idling() as helper:
        with apart([idle.pid]) as done:
            own, rest = os.sched_getaffinity(idle.pid), os.sched_getaffinity(0)
            assert done
            assert len(own) == 1
            assert own | rest == CORES
            assert not own & rest
            assert os.sched_getaffinity(helper.pid) == rest
            with subprocess.Popen([sys.executable, "-c", ""]) as later:
                assert os.sched_getaffinity(later.pid) == rest
        assert os.sched_getaffinity(helper.pid) == CORES
    assert os.sched_getaffinity(idle.pid) == os.sched_getaffinity(0) == CORES


def test_what_belongs_to_the_server_besides_is_kept_off_its_core(
    idle: subprocess.Popen[bytes],
) -> None:
    with idling() as other, apart([idle.pid], [other.pid]):
        assert not os.sched_getaffinity(other.pid) & os.sched_getaffinity(idle.pid)


def test_all_threads_move_and_come_back(idle: subprocess.Popen[bytes]) -> None:
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    try:
        assert thread.native_id is not None
        with apart([idle.pid]):
            assert os.sched_getaffinity(thread.native_id) == os.sched_getaffinity(0) != CORES
        assert os.sched_getaffinity(thread.native_id) == CORES
    finally:
        ended.set()
        thread.join()


def test_where_no_core_would_be_left_nothing_moves(idle: subprocess.Popen[bytes]) -> None:
    with apart([idle.pid] * len(CORES)) as done:
        assert not done
        assert os.sched_getaffinity(idle.pid) == os.sched_getaffinity(0) == CORES


def test_a_process_that_ends_meanwhile_is_none_to_move_back(
    idle: subprocess.Popen[bytes],
) -> None:
    with apart([idle.pid]):
        idle.communicate()
    assert os.sched_getaffinity(0) == CORES
