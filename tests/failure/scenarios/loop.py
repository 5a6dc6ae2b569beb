"""Edges that are configured to pull from each other, as tiers of edges can be by mistake."""

import asyncio
from contextlib import AsyncExitStack
from time import monotonic, time
from typing import Final

from pydantic import SecretStr

from common.cluster.records import Claim
from common.cluster.redis_directory import RedisDirectory
from common.config.model import LeaseSettings, PublisherPolicy, RedisSettings
from common.ids import NodeId, OwnerId, StreamKey
from common.local.player import RtmpPlayer, open_player
from common.rtmp.events import Refused
from tests.failure.lab import Fault, Lab
from tests.failure.row import Limits
from tests.failure.scenario import Scenario

LOOP: Final = "live/loop"
TOLD_S: Final = 10.0
"""A viewer has been told long before: `edge.hold_s` is 3 s."""

NOT_FOUND: Final = "NetStream.Play.StreamNotFound"
REFUSAL: Final = "it would go round in a loop"

# Two more edges, each with a table of its own. What stands there, the scenario says.
_LEFT, _RIGHT = "edge-3", "edge-4"
_TABLES: Final = {_LEFT: "left", _RIGHT: "right"}


async def loop(lab: Lab) -> Fault:
    """Let two edges pull one stream from each other, and one of them another from a third."""
    sound = lab.streams[0]
    logged: list[str] = []
    lab.cluster.on_log = logged.append
    at = monotonic()
    async with AsyncExitStack() as stack:
        for edge, routes in {
            _LEFT: {LOOP: _RIGHT, sound: "edge-1"},
            _RIGHT: {LOOP: _LEFT},
        }.items():
            table = _table(lab, _TABLES[edge])
            stack.push_async_callback(table.close)
            for stream, source in routes.items():
                await table.claim(_claim(lab, stream, source), PublisherPolicy.TAKEOVER)
        problems = await asyncio.gather(
            _told_honestly(lab, _LEFT), _told_honestly(lab, _RIGHT), _plays(lab, _LEFT, sound)
        )
    lab.cluster.on_log = lambda line: None
    found = [problem for problem in problems if problem]
    if not any(REFUSAL in line and _LEFT in line and _RIGHT in line for line in logged):
        found.append("no line in the log says which edges form the loop")
    return Fault(at=at, streams=frozenset(), problems=tuple(found))


def _table(lab: Lab, prefix: str) -> RedisDirectory:
    url = SecretStr(lab.cluster.redis.url)
    # Nobody renews these routes, and nobody has to.
    return RedisDirectory(RedisSettings(url=url, key_prefix=prefix), LeaseSettings(ttl_s=3600))


def _claim(lab: Lab, stream: str, source: str) -> Claim:
    info = lab.cluster.node(source).info
    return Claim(
        stream=StreamKey(stream),
        owner=OwnerId(f"{info.id}/0/lab"),
        node=NodeId(info.id),
        address=info.rtmp,
        started_at=time(),
    )


async def _told_honestly(lab: Lab, edge: str) -> str:
    player = await _player(lab, edge, LOOP)
    try:
        async with asyncio.timeout(TOLD_S):
            await asyncio.shield(player.closed)
    except TimeoutError:
        player.abort()
        return f"a viewer of {edge} was told nothing about a stream that goes round"
    codes = [event.code for event in player.events if isinstance(event, Refused)]
    return "" if codes == [NOT_FOUND] else f"a viewer of {edge} was told {codes}"


async def _plays(lab: Lab, edge: str, stream: str) -> str:
    player = await _player(lab, edge, stream)
    try:
        async with asyncio.timeout(TOLD_S):
            while player.first_keyframe_s is None:  # noqa: ASYNC110 # it is only counted
                await asyncio.sleep(0.05)
    except TimeoutError:
        return f"{edge} does not pull from an edge that has the stream"
    finally:
        player.close()
    return ""


async def _player(lab: Lab, edge: str, stream: str) -> RtmpPlayer:
    url = f"rtmp://{lab.cluster.node(edge).info.rtmp}/{stream}"
    return await open_player(url, lambda message, now: None)


SCENARIOS = (
    Scenario(
        "hop-loop",
        "Two edges pull a stream from each other, a third one is pulled from soundly",
        loop,
        Limits(new_session=False),
        extra_edges=tuple((f"redis.key_prefix={prefix}",) for prefix in _TABLES.values()),
        errors=(REFUSAL,),
    ),
)
