"""Claims that are under way, and what is announced of their streams meanwhile.

The answer of the table says who held the stream when it was asked. By the time it is here, an
announcement may have come already that says who holds it now.
"""

from common.cluster.records import Claim, Route
from common.errors import StreamTaken
from common.ids import OwnerId, StreamKey


class Race:
    """One claim under way."""

    __slots__ = ("claim", "doubted", "newest")

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.newest: Route | None = None  # of another owner, as announced
        self.doubted = False
        """Whether a lease of this worker was said to be lost, perhaps to this very claim."""

    def judge(self, route: Route | None) -> None:
        """Raise StreamTaken when another owner has won since the table gave this answer."""
        newest = self.newest
        if route is not None and newest is not None and newest.epoch > route.epoch:
            raise StreamTaken(newest.stream, newest.claim.node)


class Races:
    """All claims of a worker that are under way."""

    def __init__(self) -> None:
        self._by_stream: dict[StreamKey, list[Race]] = {}

    def begin(self, claim: Claim) -> Race:
        """Take note that the table is asked."""
        race = Race(claim)
        self._by_stream.setdefault(claim.stream, []).append(race)
        return race

    def end(self, race: Race) -> None:
        """Take note that the answer is here, or not waited for any more."""
        running = self._by_stream[race.claim.stream]
        running.remove(race)
        if not running:
            del self._by_stream[race.claim.stream]

    def hear(self, route: Route) -> None:
        """Tell all claims of the stream who has it now."""
        for race in self._by_stream.get(route.stream, ()):
            known = race.newest
            is_newer = known is None or route.epoch > known.epoch
            if is_newer and route.claim.owner != race.claim.owner:
                race.newest = route

    def doubt(self, stream: StreamKey, winner: OwnerId | None) -> bool:
        """Return whether ``winner`` (None: whoever it is) may be a claim that is under way here."""
        running = self._by_stream.get(stream, ())
        possible = [race for race in running if winner in (None, race.claim.owner)]
        for race in possible:
            race.doubted = True
        return bool(possible)
