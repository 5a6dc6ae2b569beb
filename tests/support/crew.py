"""A crew with a clock, for tests."""

from common.clock import ManualClock
from common.config.model import SupervisorSettings
from common.supervisor.app import Post
from common.supervisor.crew import Crew, Sequel
from common.supervisor.generation import Order

SETTINGS = SupervisorSettings(
    heartbeat_s=1,
    heartbeat_timeout_s=10,
    start_timeout_s=30,
    backoff_min_s=1,
    backoff_max_s=8,
    restart_budget=5,
    restart_window_s=600,
    drain_s=20,
    retire_s=100,
)


class Case:
    """A crew with a clock, whose pauses are not shortened."""

    def __init__(self, workers: int = 2) -> None:
        self.clock = ManualClock()
        self.crew = Crew(workers, SETTINGS, uniform=lambda low, high: high)

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

    def reload(self, workers: int = 2, settings: SupervisorSettings = SETTINGS) -> int:
        """Want a new generation; return its number."""
        return self.crew.reload(workers, settings, self.now)
