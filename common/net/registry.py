"""The connections of a worker: how many there may be, and who is still here."""

import asyncio
import math
import resource
from collections.abc import Collection
from typing import Final, Protocol

from common.errors import PeerError
from common.logs import get_log

RESERVED_FDS: Final = 256
"""Descriptors kept from clients, for relays, Redis and files, where the limit is a common one …"""

RESERVED_SHARE: Final = 1 / 16
"""… and this share of a high one: more viewers have more streams, each with a relay."""

RESERVED_FROM_RELAYS: Final = 1 / 8
"""Share of the reserve that relays leave to Redis and files."""

_log = get_log("rtmp")


class Client(Protocol):
    """A connection as those see it who have nothing to do with what it plays or publishes."""

    @property
    def kind(self) -> str:
        """What it is: publisher, standby, player, relay, sibling or client."""
        ...

    def ask_to_reconnect(self, address: str) -> bool:
        """Ask the client to reconnect, if it has said that it can; say whether it was asked."""
        ...

    def end_at_keyframe(self, reason: str, within_s: float) -> None:
        """End a publisher where its next GOP begins, at most after ``within_s``."""
        ...

    def close(self, reason: str, detail: str = "") -> None:
        """End; what is written already is still sent."""
        ...

    def abort(self, reason: str) -> None:
        """End at once."""
        ...


class Registry:
    """Admits connections and keeps them. ``maximum`` 0: as many as descriptors allow."""

    def __init__(self, maximum: int) -> None:
        self.bytes_in = 0  # of all connections since the worker's start
        limit = descriptor_limit()
        reserve = _reserve(limit)
        self._maximum = maximum
        self._client_descriptors = limit - reserve
        self._relay_descriptors = limit - math.ceil(reserve * RESERVED_FROM_RELAYS)
        if maximum > self._client_descriptors:
            _log.warning(
                "fewer connections than configured: the file descriptor limit is lower",
                max_connections=self._client_descriptors,
                configured=maximum,
                fd_limit=limit,
            )
        self.connections: set[Client] = set()
        self.begun = 0  # connections since the worker began
        self.draining = False
        """Whether the worker leaves: what is connected stays, but nobody begins to publish."""
        self._closed = False
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self.connections)

    def new_connection_id(self) -> int:
        """Return a number that no other connection of this worker has."""
        self.begun += 1
        return self.begun

    def admit(self, connection: Client, descriptor: int, *, relay: bool = False) -> None:
        """Take ``connection`` in; raise PeerError when it may not be.

        The kernel gives out the lowest ``descriptor`` that is free, so a high one says how many of
        whatever kind are open. ``relay``: it comes from a node of ours, and may use the reserve.
        """
        if self._closed:
            raise PeerError("closing")
        if self._maximum and len(self.connections) >= self._maximum:
            raise PeerError("too_many_connections", f"rtmp.max_connections is {self._maximum}")
        if descriptor >= (self._relay_descriptors if relay else self._client_descriptors):
            raise PeerError("too_few_descriptors", "the limit of open files is nearly reached")
        self.connections.add(connection)
        self._empty.clear()

    def forget(self, connection: Client) -> None:
        """Take note that ``connection`` is gone."""
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()

    def close(self) -> None:
        """Admit nobody any more."""
        self._closed = True

    def of_kinds(self, kinds: Collection[str]) -> list[Client]:
        """Return the connections that are one of ``kinds`` now."""
        return [each for each in self.connections if each.kind in kinds]

    async def wait_empty(self) -> None:
        """Return when the last connection has gone."""
        await self._empty.wait()

    def abort_all(self, reason: str) -> None:
        """End all connections at once."""
        for connection in list(self.connections):
            connection.abort(reason)


def descriptor_limit() -> int:
    """Return how many files this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft


def _reserve(limit: int) -> int:
    return min(max(RESERVED_FDS, round(limit * RESERVED_SHARE)), limit // 2)
