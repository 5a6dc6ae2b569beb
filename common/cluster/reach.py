"""Whether the routing table is within a worker's reach."""

from common.logs import Log


class Reach:
    """Keeps what the last call or the listener found; a change is told in ``log``.

    ``meanwhile`` says there what goes on without the table.
    """

    def __init__(self, log: Log, meanwhile: str) -> None:
        self.ok = True
        self._log = log
        self._meanwhile = meanwhile

    def back(self) -> None:
        """Take note that the table has answered."""
        if not self.ok:
            self.ok = True
            self._log.info("routing table is back")

    def lost(self, problem: str) -> None:
        """Take note that it has not, or that its announcements are being missed."""
        if self.ok:
            self.ok = False
            self._log.warning(f"routing table is away: {self._meanwhile}", reason=problem)
