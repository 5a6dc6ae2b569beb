"""Giving streams up: in the background, and again when the table was away."""

import asyncio
from collections.abc import Callable, Coroutine

from common.cluster.directory import Directory
from common.cluster.reach import Reach
from common.cluster.records import Route
from common.errors import DirectoryUnavailable
from common.ids import StreamKey
from common.metrics import LEASE_EVENTS


class Releases:
    """The routes that this worker has given up, as long as the table has not heard of it."""

    def __init__(
        self, directory: Directory, ttl_s: float, now: Callable[[], float], table: Reach
    ) -> None:
        self._directory = directory
        self._ttl_s = ttl_s
        self._now = now
        self._table = table
        self._running: dict[asyncio.Task[None], StreamKey] = {}
        self._unheard: dict[StreamKey, tuple[Route, float]] = {}  # and when it runs out by itself

    def add(self, route: Route) -> None:
        """Give ``route`` up, in the background."""
        self.run(route.stream, self.release(route))

    def run(self, stream: StreamKey, work: Coroutine[None, None, None]) -> None:
        """Run ``work``, at whose end ``stream`` is given up."""
        task = asyncio.ensure_future(work)
        self._running[task] = stream
        task.add_done_callback(self._running.pop)

    async def release(self, route: Route) -> None:
        """Give ``route`` up; one that the table does not hear of is kept for `repeat`."""
        try:
            released = await self._directory.release(route)
        except DirectoryUnavailable as error:
            self._unheard[route.stream] = (route, self._now() + self._ttl_s)
            self._table.lost(str(error))
            return
        if released:
            LEASE_EVENTS.labels(event="released").inc()

    def unheard_epoch(self, stream: StreamKey) -> int:
        """Return the epoch under which the table may still believe the stream to be ours, or 0.

        A publisher that comes back claims over it, whatever the policy.
        """
        unheard = self._unheard.get(stream)
        return unheard[0].epoch if unheard else 0

    async def repeat(self) -> None:
        """Give up again what the table did not hear of."""
        # All at once: a part of the table may be away, and nobody waits for another's deadline.
        unheard = list(self._unheard.values())
        await asyncio.gather(*(self._repeat(route, ends_at) for route, ends_at in unheard))

    async def _repeat(self, route: Route, ends_at: float) -> None:
        if self._now() < ends_at:
            try:
                await self._directory.release(route)
            except DirectoryUnavailable as error:
                self._table.lost(str(error))
                return
            self._table.back()
        if self._unheard.get(route.stream, (None,))[0] is route:
            del self._unheard[route.stream]

    async def wait(self, stream: StreamKey) -> None:
        """Return when no release of ``stream`` is under way."""
        if leaving := [task for task, each in self._running.items() if each == stream]:
            await asyncio.wait(leaving)

    async def finish(self) -> None:
        """Return when no release is under way at all."""
        while self._running:
            await asyncio.wait(list(self._running))
