"""A load process of the failure lab, driven by lines of JSON: commands in, answers and news out."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from common.supervisor.python_module import module_command, module_environment

ANSWER_S: Final = 15.0
_LINE_BYTES: Final = 1 << 26  # a report of hundreds of viewers is one line


class LabChildError(Exception):
    """A load process has ended or does not answer."""


class LabChild:
    """The lab's end."""

    def __init__(
        self, process: asyncio.subprocess.Process, on_news: Callable[[dict[str, Any]], None]
    ) -> None:
        self._process = process
        self._on_news = on_news
        self._answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def ask(self, do: str, **arguments: object) -> dict[str, Any]:
        """Send a command and return its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await self._answers.get()
        except TimeoutError:
            raise LabChildError(f"no answer to {do}") from None
        if "error" in answer:
            raise LabChildError(f"{do}: {answer['error']}")
        return answer

    async def read(self) -> None:
        """Take what it says until it ends."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            said = json.loads(line)
            if "news" in said:
                self._on_news(said)
            else:
                self._answers.put_nowait(said)
        self._answers.put_nowait({"error": "the process has ended"})


@asynccontextmanager
async def lab_child(
    module: str, options: dict[str, Any], on_news: Callable[[dict[str, Any]], None]
) -> AsyncIterator[LabChild]:
    """Run ``module`` with ``options``, as JSON, for the length of the block."""
    process = await asyncio.create_subprocess_exec(
        *module_command(module, json.dumps(options)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=module_environment(),
        limit=_LINE_BYTES,
    )
    child = LabChild(process, on_news)
    reading = asyncio.ensure_future(child.read())
    try:
        yield child
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        if process.returncode is None:
            process.kill()
        await process.wait()


def tell(line: dict[str, Any]) -> None:
    """Write news or an answer; called in the load process."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def commands() -> AsyncIterator[dict[str, Any]]:
    """Yield commands until the lab is gone; called in the load process."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield json.loads(line)
