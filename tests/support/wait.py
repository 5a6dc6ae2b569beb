"""Waiting for what must come true."""

import asyncio
from collections.abc import Awaitable, Callable

_POLL_S = 0.01


async def until(
    condition: Callable[[], Awaitable[bool]] | Callable[[], bool], timeout_s: float = 20
) -> None:
    """Return as soon as ``condition`` holds. Raises `TimeoutError` when it never does."""
    async with asyncio.timeout(timeout_s):
        while True:
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
            await asyncio.sleep(_POLL_S)
