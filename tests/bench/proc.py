"""What processes cost, from /proc (Linux)."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
# Fields of /proc/PID/stat, counted from behind the program's name [proc(5)].
_PPID: Final = 1
_UTIME: Final = 11
_STIME: Final = 12
_RSS: Final = 21
_IDLE: Final = (3, 4)  # idle and iowait in the first line of /proc/stat


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessFigures:
    """What a process, or several together, has used so far; RSS and descriptors: uses now."""

    cpu_s: float = 0.0  # user and system, to the nanosecond where the kernel tells
    user_s: float = 0.0  # in ticks of 10 ms
    rss_bytes: int = 0
    descriptors: int = 0
    voluntary_switches: int = 0  # it waited for something
    involuntary_switches: int = 0  # another one wanted the core

    def __add__(self, other: "ProcessFigures") -> "ProcessFigures":
        names = [each.name for each in fields(self)]
        return ProcessFigures(
            **{name: getattr(self, name) + getattr(other, name) for name in names}
        )


def read_process(pid: int) -> ProcessFigures:
    """Return the figures of a process. Raises OSError when it is gone."""
    folder = _folder(pid)
    stat = parse_stat((folder / "stat").read_text())
    switches = parse_switches((folder / "status").read_text())
    return ProcessFigures(
        cpu_s=_cpu_s(folder, stat),
        user_s=stat[_UTIME] / _TICKS_PER_S,
        rss_bytes=_exact_rss_bytes(folder) or stat[_RSS] * _PAGE_BYTES,
        descriptors=len(os.listdir(folder / "fd")),
        voluntary_switches=switches[0],
        involuntary_switches=switches[1],
    )


def read_cpu_s(pids: Iterable[int]) -> float:
    """Return the CPU time of processes, and look at nothing that is dear to look at.

    For a process with much memory or thousands of sockets that is the rest of the figures.
    Raises OSError when one is gone.
    """
    return sum(
        _cpu_s(folder, parse_stat((folder / "stat").read_text())) for folder in map(_folder, pids)
    )


def read_processes(pids: Iterable[int]) -> ProcessFigures:
    """Return the sum over processes. Raises OSError when one is gone."""
    return sum(map(read_process, pids), ProcessFigures())


def _folder(pid: int) -> Path:
    return Path("/proc", str(pid))


def _cpu_s(folder: Path, stat: list[int]) -> float:
    """Return the CPU time of all threads; in ticks where the kernel keeps no schedstat."""
    try:
        ran = [(each / "schedstat").read_text().split()[0] for each in folder.glob("task/*")]
    except OSError:
        ran = []
    return sum(map(int, ran)) / 1e9 or (stat[_UTIME] + stat[_STIME]) / _TICKS_PER_S


def _exact_rss_bytes(folder: Path) -> int:
    """Return what is resident, counted page by page; 0 where the kernel does not tell.

    The figure in ``stat`` lags behind by up to 32 pages for each core [proc(5)], which is a part of
    what a thousand players take.
    """
    try:
        lines = (folder / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss:")), 0)


def with_children(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = parse_stat((folder / "stat").read_text())
        except OSError:
            continue  # it has ended meanwhile
        parents.setdefault(stat[_PPID], []).append(int(folder.name))
    found = [pid]
    for each in found:
        found += parents.get(each, [])
    return found


def parse_stat(text: str) -> list[int]:
    """Return the fields of /proc/PID/stat behind the name, which may hold anything."""
    state, *numbers = text.rpartition(")")[2].split()
    return [ord(state), *map(int, numbers)]  # the state is a letter


def parse_switches(text: str) -> tuple[int, int]:
    """Return the voluntary and the involuntary context switches in /proc/PID/status."""
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return int(lines["voluntary_ctxt_switches"]), int(lines["nonvoluntary_ctxt_switches"])


def machine_busy_s() -> float:
    """Return the CPU time that everything on this machine has used so far."""
    line = Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]
    return sum(int(each) for at, each in enumerate(line) if at not in _IDLE) / _TICKS_PER_S
