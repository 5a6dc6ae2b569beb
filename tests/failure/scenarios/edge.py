"""An edge loses a worker."""

import asyncio

from tests.failure.lab import Fault, Lab
from tests.failure.row import Limits
from tests.failure.scenario import Scenario


async def worker_killed(lab: Lab) -> Fault:
    """Kill one worker of an edge: it pulls for its sibling, too."""
    await asyncio.sleep(1.5)  # figures are a heartbeat old
    workers = (await lab.cluster.status("edge-1"))["workers"]
    at = await lab.kill_worker("edge-1", 0)
    return Fault(at=at, streams=frozenset(lab.streams), victims=workers[0]["viewers"])


SCENARIOS = (
    Scenario(
        name="edge-worker-killed",
        title="Edge worker: kill -9",
        act=worker_killed,
        # Those who were on it connect to its sibling: with a descriptor each.
        # Killed just before a keyframe, what was on the way belongs to a GOP that is kept no more.
        limits=Limits(new_session=False, gap_ms=1000, descriptors=400, lost=True),
        quick=True,
    ),
)
