"""What is made of parts that run as long as it does."""

from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self


class Staged(ABC):
    """Runs for the length of an ``async with`` block, with everything that `_start` has entered.

    When a part does not start, those before it are ended; all are ended in reverse order.
    """

    def __init__(self) -> None:
        self._parts = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._parts = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._parts.aclose()

    @abstractmethod
    async def _start(self, stack: AsyncExitStack) -> None:
        """Enter all parts into ``stack``."""
