"""The load generator says what went wrong, and leaves nothing behind."""

import pytest

from common.local.redis_server import free_port
from tests.bench.child import ChildError
from tests.bench.clip import default_clip
from tests.bench.players.fleet import Fleet
from tests.bench.publishers.fleet import Publishing

pytestmark = pytest.mark.integration


async def test_players_that_find_no_server_are_counted() -> None:
    async with Fleet() as fleet:
        url = f"rtmp://127.0.0.1:{free_port()}/live/bench"
        assert await fleet.join(2, 5, 100.0, url=url) == 0
        fleet.measure()
        met = await fleet.finish()
    assert (met.players, met.started) == (5, 0)
    assert met.failed == {"Connection refused": 5}


async def test_publishers_that_find_no_server_end_the_trial() -> None:
    url = f"rtmp://127.0.0.1:{free_port()}/live/bench"
    with pytest.raises(ChildError, match="Connection refused"):
        async with Publishing(url, default_clip().path, 2):
            pass
