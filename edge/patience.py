"""How long a pull looks for its stream, and how it goes on when a relay has ended. Knows no clock.

Two times bound it: ``hold`` for a stream that has never been live here, ``grace`` after a loss:

* hold from the first viewer, and anew when a worker or an edge in between has failed, for then
  nobody has asked the origin yet, and once when the origin in the route is found dead: standbys
  begin to take over only then;
* grace from the last media, and anew while the table is away.

Between tries there are pauses that grow. There is none where there is another place to go to.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import uniform
from typing import Final

from common.backoff import Backoff
from common.config.model import EdgeSettings, RelaySettings
from common.errors import RelayError
from edge.target import SUSPICIOUS, Target

LEFT: Final = "left"
"""How a relay ends, or an attempt to connect, that we have given up ourselves: we move on."""

SILENT: Final = "silent"
"""How a relay ends whose other end does not even answer pings."""

DEAD: Final = SUSPICIOUS - {"not_found"}
"""How a relay ends whose origin may be dead: what it takes to notice can be as long as hold."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a relay ended; ``target`` is as it was then, for its epoch may have changed."""

    target: Target
    outcome: RelayError
    streamed: bool  # whether it has brought audio or video
    lasted_s: float
    outdated: bool = False  # whether a newer publisher is known of by now

    @property
    def reason(self) -> str:
        """Return why, in a word."""
        return self.outcome.reason


class Patience:
    """The patience of one pull, over all of its relays; ``until`` is when it ends, as of now."""

    def __init__(
        self,
        edge: EdgeSettings,
        relay: RelaySettings,
        now: float,
        uniform: Callable[[float, float], float] = uniform,
    ) -> None:
        self.until = now + edge.hold_s
        self._edge = edge
        self._relay = relay
        self._backoff = Backoff(relay.backoff_min_s, relay.backoff_max_s, uniform=uniform)
        self._has_streamed = False
        self._origin_was_dead = False

    def pause_after(self, ended: Ended | None, now: float, *, table_ok: bool) -> float | None:
        """Return how long to wait before the next look for a source; None to give up.

        ``ended`` is the relay that has; None when no source was found by `until`.
        """
        if ended is not None:
            self._extend(ended, now)
        if self._has_streamed and not table_ok:
            # Nobody can tell what has become of the stream: grace begins when the table is back.
            self.until = now + self._edge.grace_s
        if ended is None:
            return 0.0 if now < self.until else None
        if ended.reason == LEFT or ended.outdated or ended.target.parent is not None:
            return 0.0
        if now >= self.until or self._is_final(ended):
            return None
        return min(self._backoff.next_s(), self.until - now)

    def _extend(self, ended: Ended, now: float) -> None:
        if ended.streamed:
            self._note_streamed(ended, now)
        elif not self._has_streamed:
            is_news = self._is_news(ended)
            self._origin_was_dead |= is_news
            if is_news or self._was_in_between(ended):
                self.until = now + self._edge.hold_s

    def _note_streamed(self, ended: Ended, now: float) -> None:
        self._has_streamed = True
        self.until = now + self._edge.grace_s
        if ended.reason == "no_media":  # of a parent: it has brought none for so long
            self.until -= self._relay.silence_s
        if ended.lasted_s >= self._relay.backoff_max_s:  # one that dies at once earns no haste
            self._backoff.reset()

    def _was_in_between(self, ended: Ended) -> bool:
        """Say whether what has failed stood between this worker and the origin."""
        if ended.target.parent is not None:
            return ended.reason != LEFT
        return ended.target.slot is not None and ended.reason == SILENT

    def _is_news(self, ended: Ended) -> bool:
        """Say whether this is the first time that the origin in the route is found dead."""
        is_dead = ended.target.epoch is not None and ended.reason in DEAD
        return is_dead and not self._origin_was_dead

    def _is_final(self, ended: Ended) -> bool:
        """Say whether a sibling's answer ends the wait: it has held, or given grace, already."""
        if ended.target.slot is None:
            return False
        not_found = ended.reason == "not_found" and not self._has_streamed
        return ended.reason == "ended" or not_found
