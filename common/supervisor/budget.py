"""How many restarts a node allows itself."""

from collections import deque


class RestartBudget:
    """At most ``allowed`` restarts within any ``window_s`` seconds.

    A node over its budget is not helped by more of the same: it ends with an error, so that
    whoever runs it (systemd, Kubernetes, a person) sees it.
    """

    def __init__(self, allowed: int, window_s: float) -> None:
        self.allowed = allowed
        self.window_s = window_s
        self._spent_at: deque[float] = deque()

    def spend(self, now: float) -> bool:
        """Take one restart out of the budget; False when there is none left."""
        while self._spent_at and now - self._spent_at[0] >= self.window_s:
            self._spent_at.popleft()
        if len(self._spent_at) >= self.allowed:
            return False
        self._spent_at.append(now)
        return True
