"""A second publisher of each stream, where the policy is to refuse it as long as there is one."""

import asyncio
from collections.abc import Collection
from time import monotonic
from typing import Final

from tests.failure.lab import Fault, Lab, other
from tests.failure.row import Limits
from tests.failure.scenario import Scenario

SILENCE_S: Final = 5.0
"""A publisher that says nothing for so long is gone."""

REFUSED_S: Final = 2.0
"""The second publishers try for so long, at both origins in turn, while the first ones go on."""

BAD_NAME: Final = "NetStream.Publish.BadName"
UNTOUCHED_MS: Final = 500.0


async def half_open(lab: Lab) -> Fault:
    """Let others try to publish the streams of an origin; then drop the first without a word."""
    victim = lab.busiest_origin()
    streams = lab.streams_at(victim)
    began = monotonic()
    for stream in streams:
        await lab.second_publisher(stream, other(victim))
    await asyncio.sleep(REFUSED_S)
    problems = [*_refused(lab, streams, began), *await _untouched(lab, streams)]
    at = monotonic()
    for stream in streams:
        await lab.publishers.ask("stop", stream=stream, how="abandon")
    return Fault(at=at, streams=streams, problems=tuple(problems))


def _refused(lab: Lab, streams: Collection[str], since: float) -> list[str]:
    """Return what was wrong with how the second publishers were answered."""
    problems = []
    for stream in sorted(streams):
        news = [each for each in lab.news.told if each["stream"] == stream and each["at"] > since]
        answers = {each.get("problem", each["news"]) for each in news}
        if answers != {BAD_NAME}:
            problems.append(f"{stream}: a second publisher was answered {sorted(answers)}")
        if len({each["origin"] for each in news}) < len(lab.cluster.origins):
            problems.append(f"{stream}: not all origins were tried")
    return problems


async def _untouched(lab: Lab, streams: Collection[str]) -> list[str]:
    report = await lab.viewers.ask("report")
    longest = max(each["gap_ms"] for each in report["viewers"] if each["stream"] in streams)
    if longest > UNTOUCHED_MS:
        return [f"a gap of {longest:.0f} ms while second publishers were refused"]
    return []


SCENARIOS = (
    Scenario(
        "reject",
        f"Second encoders refused; then the first drop, found after {SILENCE_S:g} s",
        half_open,
        Limits(gap_ms=SILENCE_S * 1000 + 1000, new_source_ms=500),
        settings=("publish.policy=reject", f"rtmp.publish_silence_s={SILENCE_S}"),
    ),
)
