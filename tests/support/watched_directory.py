"""A routing table in memory whose calls are counted, and whose answers can be held back."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager

from common.clock import Clock, ManualClock
from common.cluster.memory import MemoryDirectory, MemoryTable
from common.cluster.records import Claim, ClusterEvent, Renewal, Route
from common.config.model import PublisherPolicy
from common.ids import StreamKey


class WatchedDirectory(MemoryDirectory):
    """``calls`` counts what was asked; ``held`` says which answers are on their way for now.

    What an answer says is decided when it is asked, as it is with a table at the other end of a
    network.
    """

    def __init__(self, table: MemoryTable, clock: Clock | None = None) -> None:
        super().__init__(clock or ManualClock(), table=table)
        self.calls: Counter[str] = Counter()
        self.failures: list[Exception] = []
        """What the next calls of `events`, `lookup` and `renew` raise, which nobody expects."""
        self._gates: dict[str, asyncio.Event] = {}

    @contextmanager
    def held(self, call: str) -> Iterator[None]:
        """Hold the answers to ``call`` back for the length of the block."""
        gate = self._gates[call] = asyncio.Event()
        try:
            yield
        finally:
            del self._gates[call]
            gate.set()

    async def claim(
        self, claim: Claim, policy: PublisherPolicy, *, over: int = 0, age_s: float = 0.0
    ) -> Route:
        """As `MemoryDirectory.claim`, when the answer may come."""
        route = await super().claim(claim, policy, over=over, age_s=age_s)
        await self._answer("claim")
        return route

    async def renew(self, routes: Sequence[Route]) -> list[Renewal | None]:
        """As `MemoryDirectory.renew`, when the answer may come."""
        if self.failures:
            raise self.failures.pop()
        renewals = await super().renew(routes)
        await self._answer("renew")
        return renewals

    async def release(self, route: Route) -> bool:
        """As `MemoryDirectory.release`, but late: what was asked takes effect with the answer."""
        await self._answer("release")
        return await super().release(route)

    async def lookup(self, stream: StreamKey) -> Route | None:
        """As `MemoryDirectory.lookup`, when the answer may come."""
        if self.failures:
            raise self.failures.pop()
        route = await super().lookup(stream)
        await self._answer("lookup")
        return route

    async def suspect(self, stream: StreamKey, epoch: int) -> None:
        """As `MemoryDirectory.suspect`, when the answer may come."""
        await super().suspect(stream, epoch)
        await self._answer("suspect")

    async def events(self) -> AsyncGenerator[ClusterEvent, None]:
        """As `MemoryDirectory.events`."""
        self.calls["events"] += 1
        if self.failures:
            raise self.failures.pop()
        async for event in super().events():
            yield event

    async def _answer(self, call: str) -> None:
        self.calls[call] += 1
        if gate := self._gates.get(call):
            await gate.wait()
