"""What a node costs and what it counts: /proc of its workers, and its metrics page."""

import asyncio
import os
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_UTIME: Final = 11  # in /proc/PID/stat, counted from behind the program's name [proc(5)]
_STIME: Final = 12
_RSS: Final = 21
_IDLE: Final = (3, 4)  # idle and iowait in the first line of /proc/stat


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessFigures:
    """What a process has used so far."""

    user_s: float
    system_s: float
    rss_bytes: int

    @property
    def cpu_s(self) -> float:
        """Both kinds of CPU time."""
        return self.user_s + self.system_s


def read_process(pid: int) -> ProcessFigures:
    """Return the figures of a process (Linux). Raises OSError when it is gone."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return ProcessFigures(
        user_s=int(fields[_UTIME]) / _TICKS_PER_S,
        system_s=int(fields[_STIME]) / _TICKS_PER_S,
        rss_bytes=int(fields[_RSS]) * _PAGE_BYTES,
    )


def machine_busy_s() -> float:
    """Return the CPU time that everything on this machine has used so far (Linux)."""
    line = Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]
    return sum(int(each) for at, each in enumerate(line) if at not in _IDLE) / _TICKS_PER_S


class Metrics:
    """One scrape of a node's metrics page."""

    def __init__(self, text: str) -> None:
        self._samples = [
            sample for family in text_string_to_metric_families(text) for sample in family.samples
        ]

    @classmethod
    async def of(cls, admin: str) -> "Metrics":
        """Scrape the node whose admin port is ``host:port``."""
        return cls(await asyncio.to_thread(_fetch, f"http://{admin}/metrics"))

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of all series of ``name`` that have ``labels``; 0 if there are none."""
        wanted = labels.items()
        return sum(
            each.value
            for each in self._samples
            if each.name == name and wanted <= each.labels.items()
        )


def _fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as response:
        return str(response.read().decode())
