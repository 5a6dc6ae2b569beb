"""A lease: the right of one publish session to be the one that serves its stream."""

from typing import Protocol

from common.cluster.records import Claim, Route
from common.config.model import PublisherPolicy


class LeaseHolder(Protocol):
    """Whoever publishes under a lease."""

    def codecs(self) -> tuple[str, ...]:
        """Return the stream's codecs as far as they are known, for the route."""
        ...

    def lease_lost(self, reason: str) -> None:
        """Stop serving the stream: it is somebody else's now, or an operator wants it gone."""
        ...


class Lease:
    """The right to serve one stream. Without a ``route`` it is provisional.

    ``since`` is when its publisher came.
    """

    __slots__ = ("claim", "holder", "policy", "route", "since")

    def __init__(
        self,
        claim: Claim,
        policy: PublisherPolicy,
        holder: LeaseHolder,
        route: Route | None,
        since: float,
    ) -> None:
        self.claim = claim
        self.policy = policy
        self.holder = holder
        self.route = route
        self.since = since

    @property
    def epoch(self) -> int:
        """The epoch of the lease; 0 while it is provisional."""
        return self.route.epoch if self.route else 0

    def may_be_replaced(self, route: Route | None, policy: PublisherPolicy) -> bool:
        """Say whether a claim of this worker with this answer of the table wins over the lease."""
        if route is None:
            return policy is PublisherPolicy.TAKEOVER  # the table would have said no
        # Two publishers came at once and their answers crossed: the later claim stands.
        return route.epoch >= self.epoch
