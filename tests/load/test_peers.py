"""The peers of the bench run, where they are installed or were fetched, and are measured."""

import pytest

from tests.bench.clip import default_clip
from tests.bench.load import Load
from tests.bench.servers.base import Server
from tests.bench.servers.nginx import Nginx
from tests.bench.servers.nms import NodeMediaServer
from tests.bench.trial import run_trial

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("server", [Nginx(), NodeMediaServer()], ids=lambda each: each.name)
async def test_a_peer_serves_players_and_its_cost_is_read(server: Server) -> None:
    if how := server.missing():
        pytest.skip(f"{server.name} is not here: {how}")
    load = Load(players=5, sample=2, seconds=1, own_cores=False)
    trial = await run_trial(server, load, default_clip().path, lambda text: None)
    assert trial.met.started == 7
    assert trial.met.latency is not None
    assert trial.usage is not None
    assert trial.usage.cpu > 0
    assert trial.usage.descriptors > 7
    assert trial.published is not None
    assert trial.published.messages > 0
