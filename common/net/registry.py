"""The connections of a worker: how many there may be, and who is still here."""

import asyncio
import resource
from collections.abc import Collection
from typing import Final, Protocol

from common.logs import get_log

RESERVED_FDS: Final = 256
"""Descriptors kept for listeners, relays, Redis, the supervisor's channel and files."""

_log = get_log("rtmp")


class Client(Protocol):
    """A connection as those see it who have nothing to do with what it plays or publishes."""

    @property
    def kind(self) -> str:
        """What it is: publisher, player, relay, sibling or client."""
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
        self._maximum = _affordable(maximum)
        self.connections: set[Client] = set()
        self._sessions = 0
        self.draining = False
        """Whether the worker leaves: what is connected stays, but nobody begins to publish."""
        self._closed = False
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self.connections)

    def new_session_id(self) -> int:
        """Return a number that no other session of this worker has."""
        self._sessions += 1
        return self._sessions

    def admit(self, connection: Client) -> str:
        """Take ``connection`` in; return why not, "" when it is in."""
        if self._closed:
            return "closing"
        if len(self.connections) >= self._maximum:
            return "too_many_connections"
        self.connections.add(connection)
        self._empty.clear()
        return ""

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


def _affordable(wanted: int) -> int:
    """Return how many connections the file descriptors allow, of the number wanted."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted or 1 << 20
    affordable = max(soft - RESERVED_FDS, 1)
    if wanted > affordable:
        _log.warning(
            "fewer connections than configured: the file descriptor limit is lower",
            max_connections=affordable,
            configured=wanted,
            fd_limit=soft,
        )
    return min(wanted, affordable) if wanted else affordable
