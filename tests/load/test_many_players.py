"""Hundreds of players on one edge worker: nobody is dropped, and who stalls harms nobody else."""

import pytest

from tests.bench.clip import default_clip
from tests.bench.load import Load
from tests.bench.servers.headwater import Headwater
from tests.bench.trial import Trial, run_trial

pytestmark = pytest.mark.integration

# Small buffers and limits: what takes the defaults 20 s takes these 4 s.
HASTY = ("fanout.unsent_bytes=16384", "fanout.lag_limit_ms=500", "fanout.kick_after_s=2")
MIB = 1 << 20


async def trial_of(load: Load, *settings: str) -> Trial:
    server = Headwater("headwater", *HASTY, *settings)
    return await run_trial(server, load, default_clip().path, lambda text: None)


async def test_many_players_get_all_of_it_and_one_that_stalls_is_skipped_then_dropped() -> None:
    trial = await trial_of(Load(players=295, sample=5, stalled=1, seconds=8, own_cores=False))
    assert trial.problems == []
    assert trial.met.started == 300
    assert trial.met.min_kbps > 0.8 * trial.met.max_kbps
    assert trial.flushes is not None
    assert trial.flushes.skipped == 1
    assert trial.flushes.kicked == 1
    assert trial.met.stalled == [{"end": "closed by the server"}]
    assert trial.usage is not None
    assert trial.usage.rss_grown_bytes < MIB


async def test_a_player_that_stalls_for_a_while_goes_on_at_a_keyframe() -> None:
    load = Load(players=0, sample=3, stalled=2, stall_s=4, seconds=8, own_cores=False)
    trial = await trial_of(load, "fanout.kick_after_s=30")
    assert trial.problems == []
    assert [stalled["skips"] for stalled in trial.met.stalled] == [1, 1]
    assert [stalled["end"] for stalled in trial.met.stalled] == ["", ""]
    assert trial.flushes is not None
    assert trial.flushes.kicked == 0
