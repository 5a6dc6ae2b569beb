"""How long to wait before trying again."""

import random
from collections.abc import Callable

MAX_DOUBLINGS = 32
"""Keeps the power of two finite, however long a worker keeps dying."""


class Backoff:
    """Pauses that double from ``minimum_s`` to ``maximum_s``, each shortened by up to a half.

    The randomness keeps the workers of many nodes that died of one cause (Redis restarted, a bad
    rollout) from coming back in step.
    """

    def __init__(
        self,
        minimum_s: float,
        maximum_s: float,
        *,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._minimum_s = minimum_s
        self._maximum_s = maximum_s
        self._uniform = uniform
        self._failures = 0

    def next_s(self) -> float:
        """Return the pause after one more failure."""
        pause_s = min(self._minimum_s * 2.0**self._failures, self._maximum_s)
        self._failures = min(self._failures + 1, MAX_DOUBLINGS)
        return pause_s * self._uniform(0.5, 1.0)

    def reset(self) -> None:
        """Begin anew: what was started has proved that it can live."""
        self._failures = 0
