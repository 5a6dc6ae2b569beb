"""Running something until it is over or somebody wants it to end."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


async def run_until_signal(work: Coroutine[Any, Any, int]) -> int:
    """Run ``work`` and return its exit code; 0 when SIGINT or SIGTERM ended it.

    The work is cancelled then and has all the time it takes to clean up. What it raises is raised.
    """
    loop = asyncio.get_running_loop()
    ending = asyncio.Event()
    for number in _SIGNALS:
        loop.add_signal_handler(number, ending.set)
    running = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(ending.wait())
    try:
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        running.cancel()  # without effect on what is over
        await asyncio.wait({running})
        return 0 if running.cancelled() else running.result()
    finally:
        waiting.cancel()
        running.cancel()
        await asyncio.wait({running})
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
