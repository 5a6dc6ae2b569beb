"""The routing table behind one small interface.

Two implementations, proved equal by one model test: `memory.MemoryDirectory` (a process, for tests)
and `redis_directory.RedisDirectory` (the cluster).

Epochs: a claim's epoch is ``max(last epoch of the stream + 1, the table's own clock in ms)``. It
grows with every change of hands, and it goes on growing after the table was flushed and the
counter lost, so the newest claim always carries the highest epoch. A publisher that came while the
table was away claims as of the time when he came.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from common.cluster.records import (
    Claim,
    ClusterEvent,
    NodeLoad,
    NodeRecord,
    Renewal,
    Route,
)
from common.config.model import PublisherPolicy
from common.ids import NodeId, StreamKey


class Directory(Protocol):
    """The table *stream -> origin*, the nodes, and the announcements.

    Every method raises `DirectoryUnavailable` when the table cannot be reached in time; none
    retries by itself.
    """

    async def claim(
        self, claim: Claim, policy: PublisherPolicy, *, over: int = 0, age_s: float = 0.0
    ) -> Route:
        """Take a stream; announce it (CLAIMED).

        With ``TAKEOVER`` always succeeds with a higher epoch; otherwise raises `StreamTaken`
        while another owner's lease is in force, unless its epoch is exactly ``over``: that of a
        holder which was found dead. One that has moved on since is not overthrown. The same owner
        claiming again keeps its epoch.

        ``age_s`` is for how long the publisher has been there, who could not claim when he came:
        then he is refused where another owner has an epoch of a later time, whatever the policy,
        and the table's clock counts as what it was when he came.
        """
        ...

    async def renew(self, routes: Sequence[Route]) -> list[Renewal | None]:
        """Prolong leases, all in one round trip; the answers come in the order of ``routes``.

        Writes the record anew (codecs may have become known). A lease that is missing in the
        table is put back unless a higher epoch was seen (RESTORED, announced as CLAIMED); one
        held by another owner with a lower epoch is overwritten likewise; a higher epoch is LOST.
        None where the table could not be asked of a stream: a part of it may be away (a shard), or
        one record be damaged. Raises only when nothing could be asked.
        """
        ...

    async def release(self, route: Route) -> bool:
        """Give a stream up if it is still ours (owner and epoch); announce it (RELEASED).

        Returns whether it was. Ends the epoch: a renewal of it that comes later is LOST.
        """
        ...

    async def lookup(self, stream: StreamKey) -> Route | None:
        """Return who holds a stream now, None when nobody does.

        A record that cannot be read (damaged, or of a newer release) is logged and counts as none,
        here and in all listings.
        """
        ...

    async def routes(self) -> list[Route]:
        """Return all routes: for people and dashboards, never on the path of a viewer."""
        ...

    async def put_node(self, record: NodeRecord, load: NodeLoad) -> None:
        """Write a node's record and load, both with the node TTL.

        A node that is DRAINING for the first time is announced.
        """
        ...

    async def remove_node(self, node: NodeId) -> None:
        """Forget a node that has left in good order."""
        ...

    async def nodes(self) -> list[NodeRecord]:
        """Return all nodes that are alive."""
        ...

    async def loads(self) -> list[NodeLoad]:
        """Return what each node does for each stream."""
        ...

    async def kick(self, stream: StreamKey) -> None:
        """Announce that a stream's publisher is to be disconnected."""
        ...

    async def suspect(self, stream: StreamKey, epoch: int) -> None:
        """Announce that the holder of a stream under ``epoch`` cannot be reached."""
        ...

    def events(self) -> AsyncIterator[ClusterEvent]:
        """Yield announcements, for ever.

        RESYNC comes first, when listening has begun. AWAY comes when the connection to the table is
        lost, or cannot be made at first, and RESYNC when it is back. Never raises
        `DirectoryUnavailable`: it reconnects with back-off. Announcements of one stream come in
        their order.
        """
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...
