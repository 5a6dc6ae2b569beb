"""What a node tells before anything has happened: alerts need a 0 to see a first burst from."""

import re

import pytest

from common.cluster.records import NodeRole
from common.net.connection import REFUSALS
from common.net.session import PUBLISHER_LOSSES
from common.supervisor.exit_codes import REPLACED
from edge.locate import LOOKUPS
from edge.pull import LOSSES
from origin.ownership import EVENTS
from tests.support.real_node import running_node

pytestmark = pytest.mark.integration

OF_ALL = {"connections_refused_total": REFUSALS, "worker_restarts_total": REPLACED}
OF_ROLE = {
    NodeRole.ORIGIN: {"lease_events_total": EVENTS, "disconnects_total": PUBLISHER_LOSSES},
    NodeRole.EDGE: {"route_lookups_total": LOOKUPS, "relay_losses_total": LOSSES},
}


@pytest.mark.parametrize("role", list(NodeRole))
async def test_counters_that_alerts_watch_begin_at_0(role: NodeRole, redis_url: str) -> None:
    async with running_node(role, "n", redis_url) as node:
        page = await node.metrics()
    for name, words in (OF_ALL | OF_ROLE[role]).items():
        told = set(re.findall(rf'^headwater_{name}{{.*"(\w+)"}} 0\.0$', page, re.MULTILINE))
        assert told >= set(words), name
