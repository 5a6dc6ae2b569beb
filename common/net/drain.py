"""How the clients of a worker that leaves are sent elsewhere: not all at once, none mid-GOP.

A client that has announced it (E-RTMP, capsEx) is asked to reconnect. The others are closed without
any error or end notice: that is the one thing after which every encoder and player comes back.
Nothing is closed sooner than needed, and all of it is spread over time, so that the nodes that
take the clients over are not hit by all of them in one instant.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Sequence
from contextlib import suppress
from time import monotonic
from typing import Final

from common.config.model import DrainSettings
from common.logs import get_log
from common.net.registry import Client, Registry

REASON: Final = "draining"

PUBLISHERS: Final = frozenset({"publisher"})
STANDBYS: Final = frozenset({"standby"})
VIEWERS: Final = frozenset({"player", "relay"})
SIBLINGS: Final = frozenset({"sibling"})

LAST_BYTES_S: Final = 4.0
"""When the last client that counts is closed, what is unsent may take so long: as long as its
connection waits for it with the default `fanout.lag_limit_ms`."""

_LOOK_S: Final = 0.05
_LATEST_PUBLISHER: Final = 2 / 3
"""Share of the time after which the last publisher is being closed: its keyframe must come yet."""
_LATEST_VIEWER: Final = 0.95

_log = get_log("drain")


class Farewell:
    """Parts with the clients of one worker, within ``timeout_s`` from its making."""

    def __init__(self, registry: Registry, settings: DrainSettings, timeout_s: float) -> None:
        self._registry = registry
        self._settings = settings
        self._timeout_s = timeout_s
        self._began_at = monotonic()

    async def publishers(self) -> None:
        """Send publishers elsewhere; return when the last one has gone, or the time is over.

        Nobody begins to publish any more. Relays are left alone: they end with their streams.
        Standbys go first: nobody misses them here, and at another origin they are in time to
        take over from the publishers that follow.
        """
        self._registry.draining = True
        await self._unless_gone(PUBLISHERS | STANDBYS, self._part_with_publishers())

    async def viewers(self) -> None:
        """Send viewers elsewhere; return when the last one has gone, or the time is over.

        Siblings are left alone: they leave when they have no viewers of their own.
        """
        await self._unless_gone(VIEWERS | SIBLINGS, self._part_with_viewers())

    async def _part_with_publishers(self) -> None:
        settings = self._settings
        after_s = min(settings.publishers_after_s, self._timeout_s / 3)
        latest_s = self._timeout_s * _LATEST_PUBLISHER
        asked = await self._ask(STANDBYS, latest_s=after_s / 2)
        waiting = [each for each in self._registry.of_kinds(STANDBYS) if each not in asked]
        await self._one_by_one(waiting, _close, latest_s=after_s / 2)
        asked |= await self._ask(PUBLISHERS, latest_s=after_s)
        await self._sleep_until(after_s)
        others = [each for each in self._registry.of_kinds(PUBLISHERS) if each not in asked]
        await self._one_by_one(others, self._end_at_keyframe, latest_s=latest_s)
        await self._sleep_until(min(settings.asked_s, latest_s))
        await self._one_by_one(self._registry.of_kinds(STANDBYS), _close, latest_s=latest_s)
        still_here = [each for each in self._registry.of_kinds(PUBLISHERS) if each in asked]
        await self._one_by_one(still_here, self._end_at_keyframe, latest_s=latest_s)

    async def _part_with_viewers(self) -> None:
        last_s = max(self._timeout_s - self._settings.viewers_last_s, self._timeout_s / 2)
        await self._ask(VIEWERS, latest_s=last_s)
        await self._sleep_until(last_s)
        left = self._registry.of_kinds(VIEWERS)
        latest_s = self._timeout_s * _LATEST_VIEWER
        await self._one_by_one(left, _close, latest_s=latest_s)

    async def _ask(self, kinds: Collection[str], *, latest_s: float) -> set[Client]:
        """Ask those who can to reconnect; return who was asked."""
        asked: set[Client] = set()

        def ask(client: Client) -> bool:
            if not client.ask_to_reconnect(self._settings.reconnect_url):
                return False
            asked.add(client)
            return True

        present = self._registry.of_kinds(kinds)
        await self._one_by_one(present, ask, latest_s=latest_s)
        if present:
            _log.info("clients leave", clients=len(present), asked_to_reconnect=len(asked))
        return asked

    def _end_at_keyframe(self, publisher: Client) -> bool:
        left_s = self._timeout_s * _LATEST_VIEWER - self._elapsed_s()
        publisher.end_at_keyframe(REASON, max(min(self._settings.keyframe_wait_s, left_s), 0.0))
        return True

    async def _one_by_one(
        self, clients: Sequence[Client], act: Callable[[Client], bool], *, latest_s: float
    ) -> None:
        """Let ``act`` do its work on each client; pause after each with whom there was any."""
        share_s = max(latest_s - self._elapsed_s(), 0.0) / max(len(clients), 1)
        pause_s = min(1 / self._settings.per_second, share_s)
        for client in clients:
            if act(client):
                await asyncio.sleep(pause_s)

    async def _unless_gone(self, kinds: Collection[str], work: Coroutine[None, None, None]) -> None:
        """Do ``work``, until none of ``kinds`` is left or the time is over."""
        working = asyncio.ensure_future(work)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timeout_s - self._elapsed_s()):
                    await self._until_gone(kinds)
        finally:
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working
        left_s = min(self._timeout_s - self._elapsed_s(), LAST_BYTES_S)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._registry.wait_empty(), max(left_s, 0.0))

    async def _until_gone(self, kinds: Collection[str]) -> None:
        # What a connection is changes without a word to the registry.
        while self._registry.of_kinds(kinds):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)

    async def _sleep_until(self, elapsed_s: float) -> None:
        await asyncio.sleep(max(elapsed_s - self._elapsed_s(), 0.0))

    def _elapsed_s(self) -> float:
        return monotonic() - self._began_at


def _close(client: Client) -> bool:
    client.close(REASON)  # no error, and no notice that a stream is over: who gets one stays away
    return True
