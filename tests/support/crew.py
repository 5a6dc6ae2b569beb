"""A crew with a clock, for tests."""

import math
from collections import Counter
from collections.abc import Callable
from typing import Final

from common.clock import ManualClock
from common.config.model import SupervisorSettings
from common.supervisor.app import Post
from common.supervisor.crew import Crew, Sequel
from common.supervisor.generation import Order, Phase

SETTINGS = SupervisorSettings(
    heartbeat_s=1,
    heartbeat_timeout_s=10,
    start_timeout_s=30,
    backoff_min_s=1,
    backoff_max_s=8,
    healthy_s=15,
    give_up_after=5,
    drain_s=20,
    retire_s=100,
)

TICK_S: Final = 0.5
"""How exactly `Case.live` tells the time."""

NEVER_READY: Final = -1.0
"""The life of a worker that hangs in its start."""


class Case:
    """A crew with a clock, whose pauses are not shortened."""

    def __init__(self, workers: int = 2, settings: SupervisorSettings = SETTINGS) -> None:
        self.clock = ManualClock()
        self.crew = Crew(workers, settings, uniform=lambda low, high: high)

    @property
    def now(self) -> float:
        """The time."""
        return self.clock.now

    def orders(self, after_s: float = 0.0) -> list[tuple[Order, int]]:
        """Return the orders to the first generation, which must be all there are."""
        given = self.all_orders(after_s)
        assert all(post.generation == 0 for _, post in given)
        return [(order, post.slot) for order, post in given]

    def all_orders(self, after_s: float = 0.0) -> list[tuple[Order, Post]]:
        """Return the orders after a while, which are given once."""
        self.clock.advance(after_s)
        return self.crew.orders(self.now)

    def all_ready(self) -> "Case":
        """Start all workers that are to be started, and have them ready."""
        for order, post in self.all_orders():
            if order is Order.SPAWN:
                self.crew.ready(post, self.now)
        return self

    def ready(self, slot: int, generation: int = 0) -> bool:
        """Have a worker ready; say whether that ends a reload."""
        return self.crew.ready(Post(generation, slot), self.now)

    def heard(self, slot: int, generation: int = 0) -> None:
        """Have a heartbeat come."""
        self.crew.heard(Post(generation, slot), self.now)

    def exit(self, slot: int, code: int = 1, reason: str = "", *, generation: int = 0) -> Sequel:
        """End a worker; say what follows."""
        return self.crew.exited(Post(generation, slot), code, self.now, reason)

    def live(self, life_s: Callable[[int], float], seconds: float) -> Counter[int]:
        """Let time pass, but not after the node gave up; return how many died, by slot.

        ``life_s`` is asked how long the next worker of a slot is to live once it is ready.
        """
        ends: dict[int, float] = {}
        died: Counter[int] = Counter()
        until = self.now + seconds
        while self.now < until and self.crew.phase is Phase.RUNNING:
            for order, slot in self.orders(TICK_S):
                ends[slot] = self._begin(slot, life_s(slot)) if order is Order.SPAWN else self.now
            for slot in sorted(slot for slot, end in ends.items() if end <= self.now):
                del ends[slot]
                died[slot] += 1
                self.exit(slot)
            for slot in ends:
                self.heard(slot)
        return died

    def _begin(self, slot: int, life_s: float) -> float:
        """Return when a worker that was started now is to die."""
        if life_s == NEVER_READY:
            return math.inf
        self.ready(slot)
        return self.now + life_s

    def reload(self, workers: int = 2, settings: SupervisorSettings = SETTINGS) -> int:
        """Want a new generation; return its number."""
        return self.crew.reload(workers, settings, self.now)
