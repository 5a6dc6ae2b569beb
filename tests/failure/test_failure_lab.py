"""The quickest scenarios of the failure lab, with few viewers, one after the other in one lab."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.failure.catalogue import SCENARIOS
from tests.failure.lab import SHORT, Lab
from tests.failure.scenario import Scenario, run_in

pytestmark = [
    pytest.mark.integration,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.xdist_group("failure-lab"),
]

QUICK = [each for each in SCENARIOS if each.quick]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncIterator[Lab]:
    async with Lab(SHORT) as lab:
        yield lab


@pytest.mark.parametrize("scenario", QUICK, ids=[each.name for each in QUICK])
async def test_what_the_lab_promises_holds(lab: Lab, scenario: Scenario) -> None:
    await lab.cluster.revive()
    await lab.steady()
    row = await run_in(lab, scenario)
    assert row.problems == [], row
