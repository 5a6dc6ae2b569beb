"""Redis is gone for ten minutes: longer than every lease, cache and back-off of the cluster."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any, Final

from common.errors import HeadwaterError
from common.local.admin import fetch_metrics
from common.local.player import open_player
from common.rtmp.message import Message
from tests.failure.cluster import until_true
from tests.failure.lab import Fault, Lab, Usage, other
from tests.failure.row import Limits
from tests.failure.scenario import NOTICE_S, Scenario
from tests.failure.scenarios.redis import complete

OUTAGE_S: Final = 600.0
SETTLED_S: Final = 60.0
"""After so long whatever the outage sets off has happened once: memory is measured from there."""

ACCEPTED_S: Final = 5.0
JOINED_S: Final = 5.0
SEEN_S: Final = 8.0
"""Until the health page of a node tells what its workers know: pings to Redis that is silent, and
heartbeats."""

GROWTH_BYTES: Final = 16 << 20  # of all nodes together, while nothing is to be had of Redis
LINGER_S: Final = 10.0 + 2.0

VISITED: Final = "live/visited"
"""A stream that an edge has no more, but has had: it knows where it was."""
CONTESTED: Final = "live/contested"
"""A stream that two encoders begin to publish while nobody can say whose it is."""


@dataclass(slots=True)
class _Findings:
    """What is to be looked at, and what of it was not as it should be."""

    lab: Lab
    problems: list[str] = field(default_factory=list)

    async def check(self, what: str, condition: Awaitable[None]) -> None:
        """Await ``condition``; note ``what`` when it does not come true in time."""
        try:
            await condition
        except (TimeoutError, HeadwaterError) as error:
            self.problems.append(f"{what}: {error or type(error).__name__}")


async def gone(lab: Lab, outage_s: float) -> Fault:
    """Keep Redis away; use the cluster in every way at the beginning, and again at the end."""
    found = _Findings(lab)
    await _visit(lab)
    await _use_all_workers(lab)
    began_at = monotonic()
    await lab.cluster.redis.kill()
    await found.check("degraded", _health(lab, up=False))
    await _use(found, "early", leaving="origin-1")
    await asyncio.sleep(max(0.0, began_at + min(SETTLED_S, outage_s / 2) - monotonic()))
    settled = lab.usage()
    await asyncio.sleep(max(0.0, began_at + outage_s - monotonic()))
    await found.check("degraded at the end", _health(lab, up=False))
    found.problems += _growth(settled, lab.usage())
    await _use(found, "late", leaving="origin-2")
    await _contest(found)
    await lab.cluster.redis.start()
    found.problems += await complete(lab)
    await found.check("not degraded any more", _health(lab, up=True))
    return Fault(at=began_at, streams=frozenset(lab.streams), problems=tuple(found.problems))


async def _visit(lab: Lab) -> None:
    """Have an edge pull a stream, and give it up when nobody watches any more."""
    await lab.publishers.ask("start", stream=VISITED, to=0)
    lab.streams.append(VISITED)
    await until_true(lab.table_complete, ACCEPTED_S, "a stream is not in the table")
    await _joins(lab, "edge-2", VISITED)

    async def given_up() -> bool:
        return VISITED not in (await lab.cluster.status("edge-2"))["streams"]

    await until_true(given_up, LINGER_S + JOINED_S, "a pull without viewers goes on")


async def _use_all_workers(lab: Lab) -> None:
    """Begin streams until each origin worker has one: edges know those that have had any."""
    workers = lab.profile.origins * lab.profile.workers
    while len({route.address for route in await lab.directory.routes()}) < workers:
        stream = f"live/filler-{len(lab.streams)}"
        await lab.publishers.ask("start", stream=stream, to=len(lab.streams) % lab.profile.origins)
        lab.streams.append(stream)
        await until_true(lab.table_complete, ACCEPTED_S, "a stream is not in the table")


async def _use(found: _Findings, name: str, *, leaving: str) -> None:
    """Do what encoders and viewers do any day; the encoders of an origin leave it."""
    lab = found.lab
    new = f"live/{name}"
    await lab.publishers.ask("start", stream=new, to=0)
    await found.check(f"{new} is accepted", _accepted(lab, new, 0.0))
    lab.streams.append(new)
    for edge in ("edge-1", "edge-2"):
        await found.check(f"{name} viewer of a running stream", _joins(lab, edge, lab.streams[0]))
    await found.check(f"{name} viewer of a known stream", _joins(lab, "edge-2", VISITED))
    # To the same origin is to whichever of its workers accepts, and to the other one.
    watched = [stream for stream in sorted(lab.streams_at(leaving)) if stream in _watched(lab)]
    for stream, to in zip(watched[:2], (leaving, other(leaving)), strict=True):
        at = monotonic()
        await lab.move(stream, to)
        await found.check(f"{name} encoder goes to {to}", _accepted(lab, stream, at))
        await found.check(f"{name} viewers of {stream}", _all_play(lab))


async def _contest(found: _Findings) -> None:
    """Have two encoders publish the same stream at two origins."""
    lab = found.lab
    await lab.publishers.ask("start", stream=CONTESTED, to=0)
    await found.check("the first claim is accepted", _accepted(lab, CONTESTED, 0.0))
    at = monotonic()
    await lab.second_publisher(CONTESTED, "origin-2")
    await found.check("the second claim is accepted", _accepted(lab, CONTESTED, at))
    lab.streams.append(CONTESTED)


def _watched(lab: Lab) -> list[str]:
    return lab.streams[: lab.profile.streams]


async def _accepted(lab: Lab, stream: str, after: float) -> None:
    async def said() -> bool:
        return lab.news.last("keyframe", stream, after) is not None

    await until_true(said, ACCEPTED_S, "no publish session")


async def _all_play(lab: Lab) -> None:
    await asyncio.sleep(NOTICE_S)
    await until_true(lab.playing, JOINED_S, "not all viewers play")


async def _joins(lab: Lab, edge: str, stream: str) -> None:
    """Watch a stream for as long as it takes to see something."""
    seen = asyncio.Event()
    async with _player(lab, edge, stream, seen):
        async with asyncio.timeout(JOINED_S):
            await seen.wait()


@asynccontextmanager
async def _player(lab: Lab, edge: str, stream: str, seen: asyncio.Event) -> AsyncIterator[None]:
    def take(message: Message, now: float) -> None:
        if player.first_keyframe_s is not None:
            seen.set()

    url = f"rtmp://{lab.cluster.node(edge).info.rtmp}/{stream}"
    player = await open_player(url, take)
    try:
        yield
    finally:
        player.close()


async def _health(lab: Lab, *, up: bool) -> None:
    """Wait until the health page and the metrics of each node say how it is."""
    for name in lab.cluster.alive():
        said = partial(_says, lab, name, up=up)
        await until_true(said, SEEN_S, f"{name} does not say {'ok' if up else 'degraded'}")


async def _says(lab: Lab, name: str, *, up: bool) -> bool:
    admin = lab.cluster.node(name).info.admin
    async with lab.cluster.http.get(f"http://{admin}/healthz") as response:
        health: dict[str, Any] = await response.json()
    metrics = await fetch_metrics(lab.cluster.http, admin)
    told = health["components"]["redis"]["status"], metrics.value("headwater_directory_up")
    return told == (("ok", 1.0) if up else ("degraded", 0.0))


def _growth(before: Usage, after: Usage) -> list[str]:
    grown = sum(after.rss_bytes[pid] - rss for pid, rss in before.rss_bytes.items())
    if grown <= GROWTH_BYTES:
        return []
    return [f"memory grew by {grown >> 20} MiB while Redis was away"]


SCENARIOS = (
    Scenario(
        name="redis-gone-ten-minutes",
        title="Redis: gone for 10 min, streams begin, move and are contested meanwhile",
        act=partial(gone, outage_s=OUTAGE_S),
        limits=Limits(new_session=False, gap_ms=3000),
        long=True,
    ),
)
