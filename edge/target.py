"""Where a pull relays from: a sibling worker of this host, or the origin worker in the route.

The sibling is the one that owns the stream's pull here, if that is not this worker. A pull that a
sibling asked for is *direct*: it never goes to a sibling, so two workers whose views of the host
differ for a moment cannot feed each other.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from common.errors import DirectoryUnavailable
from common.ids import StreamKey
from edge.locate import Locator
from edge.siblings import owner_of


@dataclass(frozen=True, slots=True)
class Target:
    """Where to relay from: a route's ``address`` and ``epoch``, or a sibling's ``slot``."""

    address: str = ""
    epoch: int | None = None
    slot: int | None = None

    def __str__(self) -> str:
        return self.address if self.slot is None else f"worker {self.slot}"


class TargetFinder:
    """Chooses the targets of one pull, one after the other.

    ``members`` are the slots of this host's workers that can own a pull. ``misses`` counts the
    origin workers asked in a row that did not have the stream; see `Locator.place`.
    """

    def __init__(
        self,
        key: StreamKey,
        slot: int,
        locator: Locator,
        members: Callable[[], frozenset[int]],
        retry_s: float,
        *,
        direct: bool,
    ) -> None:
        self.direct = direct
        self.misses = 0
        self._key = key
        self._slot = slot
        self._locator = locator
        self._members = members
        self._retry_s = retry_s
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """End a wait: something may have changed."""
        self._changed.set()

    def owner(self) -> int | None:
        """Return the sibling to relay from; None when this worker pulls itself."""
        members = self._members()
        if self.direct or not members:
            return None
        owner = owner_of(self._key, members | {self._slot})
        return None if owner == self._slot else owner

    async def find(self, deadline: float) -> Target | None:
        """Return where to relay from, as soon as that is known; None when the time is over."""
        while True:
            self._changed.clear()
            owner = self.owner()
            if owner is not None:
                return Target(slot=owner)
            try:
                route = await self._locator.find(self._key)
            except DirectoryUnavailable:
                route = None
            if route is not None:
                return Target(self._locator.place(route, self.misses), route.epoch)
            left = deadline - self._loop.time()
            if left <= 0:
                return None
            await self.pause(min(left, self._retry_s))

    async def pause(self, seconds: float) -> None:
        """Wait, but not longer than until something has changed."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return
