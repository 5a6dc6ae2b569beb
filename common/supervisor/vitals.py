"""How a worker's own process fares: loop lag, CPU, memory, open files, tasks."""

import asyncio
import os
import resource
import sys
import time
from pathlib import Path

from common.metrics import LOOP_LAG, OPEN_FILES, OPEN_FILES_LIMIT
from common.supervisor.messages import Vitals

_STATM = Path("/proc/self/statm")
_FDS = Path("/proc/self/fd") if sys.platform == "linux" else Path("/dev/fd")
_PAGE_BYTES = resource.getpagesize()
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere


class VitalsMeter:
    """Measures the process it lives in."""

    def __init__(self) -> None:
        self._max_fds = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._loop_lag_s = 0.0
        self._tasks = 0
        self._egress_bytes = 0
        self._cpu_s = time.process_time()
        self._measured_at = time.monotonic()

    async def pause(self, seconds: float) -> None:
        """Sleep; take note of how late the event loop came back, and how many tasks it has."""
        due = time.monotonic() + seconds  # uvloop's own time is in whole milliseconds
        await asyncio.sleep(seconds)
        self._loop_lag_s = max(time.monotonic() - due, 0.0)
        LOOP_LAG.observe(self._loop_lag_s)
        self._tasks = len(asyncio.all_tasks())

    def measure(self, egress_bytes: int) -> Vitals:
        """Return the figures of now; rates are those since the last call.

        ``egress_bytes`` is what the worker has sent since its start.
        """
        now, cpu_s = time.monotonic(), time.process_time()
        open_fds = _open_fds()
        OPEN_FILES.set(open_fds)
        OPEN_FILES_LIMIT.set(self._max_fds)
        elapsed_s = max(now - self._measured_at, 0.001)
        vitals = Vitals(
            loop_lag_s=self._loop_lag_s,
            cpu_share=(cpu_s - self._cpu_s) / elapsed_s,
            egress_bps=round((egress_bytes - self._egress_bytes) * 8 / elapsed_s),
            memory_bytes=_memory_bytes(),
            open_fds=open_fds,
            tasks=self._tasks,
            max_fds=self._max_fds,
        )
        self._measured_at, self._cpu_s, self._egress_bytes = now, cpu_s, egress_bytes
        return vitals


def _memory_bytes() -> int:
    try:
        return int(_STATM.read_text().split()[1]) * _PAGE_BYTES
    except OSError:  # no /proc: the highest figure so far has to do
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT


def _open_fds() -> int:
    try:
        # Since Linux 6.2 the size of the folder is the answer; counting 20,000 entries takes a
        # worker's event loop several milliseconds.
        return _FDS.stat().st_size or sum(1 for _ in os.scandir(_FDS))
    except OSError:
        return 0
