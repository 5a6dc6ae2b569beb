"""Trials that never were."""

from dataclasses import replace

from tests.bench.load import Load, Met
from tests.bench.trial import Flushes, Trial, Usage

USAGE = Usage(
    seconds=6.0,
    cpu=20.0,
    user=5.0,
    others=1.0,
    machine=80.0,
    rss_bytes=64 << 20,
    rss_grown_bytes=1 << 20,
    rss_per_player_kib=3.5,
    descriptors=1030,
    voluntary_switches_s=50.0,
    involuntary_switches_s=10.0,
    cpu_by_second=[10.0, 20.0, 20.0, 20.0, 20.0, 22.0],
)
MET = Met(
    players=10,
    started=10,
    seconds=6.0,
    min_kbps=900.0,
    max_kbps=1000.0,
    bytes=100,
    reads=600,
    messages=460,
    longest_gap_ms=50.0,
    first_keyframe_ms=[1.0, 2.0],
    latencies_ms=[1.0, 2.0, 3.0],
    own_cpu_share=0.1,
)


def trial(server: str = "headwater", *, cpu: float = 20.0, problems: tuple[str, ...] = ()) -> Trial:
    return Trial(
        server=server,
        load=Load(players=10),
        usage=replace(USAGE, cpu=cpu, user=cpu / 4),
        met=MET,
        joined=Met(),
        published=None,
        flushes=Flushes(interval_ms=50.0, cost_ms=1.0, skipped=0.0, kicked=0.0),
        writes_per_s=20.0,
        problems=list(problems),
    )
