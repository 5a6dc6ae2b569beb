"""Child processes of the bench: one JSON argument, orders on standard input, JSON lines on output.

A child ends when its standard input is closed, so that none outlives the bench.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from common.errors import HeadwaterError
from common.supervisor.python_module import module_command, module_environment

MEASURE: Final = "measure"
FINISH: Final = "finish"

_PACKAGE: Final = __name__.rpartition(".")[0]
_LIMIT_BYTES: Final = 1 << 28
"""Of a line: it holds every latency that was sampled."""
_ANSWER_S: Final = 120.0
_END_S: Final = 5.0

Report = dict[str, Any]


class ChildError(HeadwaterError):
    """A process of the bench ended before its time."""


class Child:
    """A child, seen from the bench; ``on_tick`` is given what nobody waits for."""

    def __init__(self, name: str, on_tick: Callable[[Report], None]) -> None:
        self._name = name
        self._on_tick = on_tick
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._events: asyncio.Queue[Report] = asyncio.Queue()

    async def start(self, arguments: Report) -> None:
        """Start the module of this name with ``arguments``."""
        command = module_command(f"{_PACKAGE}.{self._name}", json.dumps(arguments))
        self._process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=module_environment(),
            limit=_LIMIT_BYTES,
            start_new_session=True,  # Ctrl-C in the terminal is ours alone
        )
        self._reading = asyncio.create_task(self._read(self._process))

    def order(self, word: str) -> None:
        """Tell the child something; nothing happens when it is gone."""
        assert self._process is not None
        assert self._process.stdin is not None
        with suppress(ConnectionError):
            self._process.stdin.write(word.encode() + b"\n")

    async def wait_for(self, event: str) -> Report:
        """Return the next report of this kind. Raises `ChildError` when another one comes."""
        try:
            async with asyncio.timeout(_ANSWER_S):
                report = await self._events.get()
        except TimeoutError:
            raise ChildError(f"{self._name}: no {event} after {_ANSWER_S:g} s") from None
        if report["event"] != event:
            raise ChildError(f"{self._name}: {report.get('why', report['event'])}")
        return report

    async def stop(self) -> None:
        """End the child, in good order if it does so in time."""
        if self._process is None or self._reading is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                await self._process.wait()
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        await asyncio.wait({self._reading})

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            report: Report = json.loads(line)
            if report["event"] == "tick":
                self._on_tick(report)
            else:
                self._events.put_nowait(report)
        code = await process.wait()
        self._events.put_nowait({"event": "end", "why": f"ended with exit code {code}"})


# In the child itself


def tell(event: str, **facts: object) -> None:
    """Report something to the bench."""
    with suppress(BrokenPipeError):  # it is gone, and our standard input will say so
        sys.stdout.write(json.dumps({"event": event, **facts}) + "\n")
        sys.stdout.flush()


def read_orders() -> list[str]:
    """Return the orders that have come; the end of the bench is the order to finish."""
    data = os.read(sys.stdin.fileno(), 4096)
    return data.decode().split() or [FINISH]


def take_precedence() -> None:
    """Ask for the core before the crowd: what measures must not wait for what it measures with."""
    with suppress(PermissionError):
        os.nice(-5)
