"""Claiming a stream for a publisher that has come.

Under the policy `reject` the table's word that somebody holds a stream is not enough to send an
encoder away, which takes the answer for a bad stream key and may give up for good. The entry may
be nobody's: of an origin that has died, whose encoder this is, or of a claim that reached the table
when its publisher had gone. So the holder is asked, and of one that does not answer the stream is
claimed over exactly its epoch, as a standby does it: who has moved on meanwhile is not overthrown.
"""

from collections.abc import Awaitable, Callable

from common.cluster.directory import Directory
from common.cluster.records import Claim, Route
from common.config.model import PublisherPolicy
from common.errors import DirectoryUnavailable, StreamTaken
from common.ids import StreamKey
from common.logs import get_log
from origin.lease import Lease, LeaseHolder
from origin.ownership import LeaseKeeper

_log = get_log("origin.claims")


class Claims:
    """The claims of a worker's publishers; ``serves`` asks whoever is in a route for its stream."""

    def __init__(
        self,
        directory: Directory,
        leases: LeaseKeeper,
        serves: Callable[[Route], Awaitable[bool]],
    ) -> None:
        self._directory = directory
        self._leases = leases
        self._serves = serves

    async def acquire(self, claim: Claim, policy: PublisherPolicy, holder: LeaseHolder) -> Lease:
        """Claim a stream for ``holder``; raises StreamTaken. See `LeaseKeeper.acquire`."""
        try:
            return await self._leases.acquire(claim, policy, holder)
        except StreamTaken as refusal:
            if policy is not PublisherPolicy.REJECT or self._leases.holds(claim.stream):
                raise
            try:
                over = await self._dead_epoch(claim.stream)
                if over is None:
                    raise refusal
                return await self._leases.acquire(
                    claim, policy, holder, over=over, provisionally=False
                )
            except DirectoryUnavailable:
                raise refusal from None

    async def _dead_epoch(self, stream: StreamKey) -> int | None:
        """Return the epoch to claim over, 0 where nobody holds the stream now; None: it is held."""
        route = await self._directory.lookup(stream)
        if route is None:
            return 0
        if await self._serves(route):
            return None
        _log.info("holder does not answer", stream=stream, holder=route.claim.node)
        return route.epoch
