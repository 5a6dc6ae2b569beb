"""An edge loses a worker."""

from tests.failure.lab import Fault, Lab
from tests.failure.row import Limits
from tests.failure.scenario import Scenario


async def worker_killed(lab: Lab) -> Fault:
    """Kill one worker of an edge: it pulls for its sibling, too."""
    at = await lab.kill_worker("edge-1", 0)
    return Fault(at=at, streams=frozenset(lab.streams))


SCENARIOS = (
    Scenario(
        name="edge-worker-killed",
        title="Edge worker: kill -9",
        act=worker_killed,
        limits=Limits(disconnected=None, new_session=False, gap_ms=3000),
    ),
)
