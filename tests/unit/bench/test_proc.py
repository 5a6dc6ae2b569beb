import os
import subprocess
import sys

import pytest

from tests.bench.proc import (
    ProcessFigures,
    machine_busy_s,
    parse_stat,
    parse_switches,
    read_cpu_s,
    read_process,
    with_children,
)

STAT = (
    "4242 (a (strange) name) S 17 4242 4242 0 -1 4194304 9 8 7 6 150 25 0 0 20 0 1 0 99 5000 321 18"
)
STATUS = "Name:\tx\nGroups:\t \nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t34\n"


def test_a_program_may_have_any_name() -> None:
    stat = parse_stat(STAT)
    assert (stat[1], stat[11], stat[12], stat[21]) == (17, 150, 25, 321)


def test_switches() -> None:
    assert parse_switches(STATUS) == (12, 34)


def test_figures_of_several_processes_add_up() -> None:
    one = ProcessFigures(cpu_s=2.0, user_s=1.5, rss_bytes=10, descriptors=3)
    both = one + ProcessFigures(cpu_s=0.5, voluntary_switches=7)
    assert both == ProcessFigures(
        cpu_s=2.5, user_s=1.5, rss_bytes=10, descriptors=3, voluntary_switches=7
    )


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_this_process_and_its_child() -> None:
    me = read_process(os.getpid())
    assert me.rss_bytes > 1 << 20
    assert me.descriptors >= 3
    assert me.cpu_s == pytest.approx(sum(os.times()[:2]), abs=0.5)
    assert me.cpu_s <= read_cpu_s([os.getpid()]) <= me.cpu_s + 0.5
    assert machine_busy_s() > 0
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in with_children(os.getpid())
        child.communicate(b"\n")
    with pytest.raises(OSError, match="No such"):
        read_process(child.pid)
