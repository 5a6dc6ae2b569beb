"""All scenarios. A new group is a file in `tests/failure/scenarios` and a line here."""

from typing import Final

from tests.failure.scenario import Scenario
from tests.failure.scenarios import (
    drain,
    edge,
    encoder,
    loop,
    network,
    origin,
    redis,
    redis_gone,
    reject,
    standby,
    zone,
)

SCENARIOS: Final[tuple[Scenario, ...]] = (
    *origin.SCENARIOS,
    *encoder.SCENARIOS,
    *standby.SCENARIOS,
    *reject.SCENARIOS,
    *edge.SCENARIOS,
    *drain.SCENARIOS,
    *redis.SCENARIOS,
    *redis_gone.SCENARIOS,
    *network.SCENARIOS,
    *loop.SCENARIOS,
    *zone.SCENARIOS,
)

BY_NAME: Final = {scenario.name: scenario for scenario in SCENARIOS}
