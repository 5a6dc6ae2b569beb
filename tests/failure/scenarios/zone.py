"""Edges of one zone share one pull of each stream from another, and one of them fails.

It is an edge without viewers: what these see, they see through the others.
"""

import asyncio
import os
import signal
from time import monotonic
from typing import Final

from common.ids import StreamKey
from edge.rendezvous import owner_of
from tests.failure.cluster import until_true
from tests.failure.lab import Fault, Lab
from tests.failure.row import Limits
from tests.failure.scenario import LEAD_S, Act, Scenario

_CANDIDATES: Final = ("edge-3", "edge-4")

AGREED_S: Final = 30.0
"""The listing has been read again (`lease.ttl_s`), and each pull checked, long before."""

_SILENCE_MS: Final = 3000.0  # relay.silence_s


async def parent_killed(lab: Lab) -> Fault:
    """Kill an edge that pulls for its zone, all processes of it."""
    parent, streams = await _agreed(lab)
    at = await lab.cluster.kill(parent)
    return Fault(at=at, streams=streams, problems=await _shared_again(lab))


async def parent_frozen(lab: Lab) -> Fault:
    """Stop an edge that pulls for its zone, for longer than its relays may be silent."""
    parent, streams = await _agreed(lab)
    at = lab.cluster.pause(parent)
    await asyncio.sleep(_SILENCE_MS / 1000 + 2.0)
    lab.cluster.resume_all()
    return Fault(at=at, streams=streams)


async def parent_drained(lab: Lab) -> Fault:
    """Ask an edge that pulls for its zone to end."""
    parent, streams = await _agreed(lab)
    node = lab.cluster.node(parent)
    at = monotonic()
    os.kill(node.info.pid, signal.SIGTERM)
    await node.process.ended()
    return Fault(at=at, streams=streams, problems=await _shared_again(lab))


async def _agreed(lab: Lab) -> tuple[str, frozenset[str]]:
    """Wait until each stream crosses once; return who pulls most of them, and which."""
    await until_true(lambda: _crosses_once(lab), AGREED_S, "streams cross zones more than once")
    edges = {name: node.info.id for name, node in lab.cluster.edges.items()}
    owners = {each: owner_of(StreamKey(each), edges.values()) for each in lab.streams}
    pulled = {
        name: frozenset(each for each, owner in owners.items() if owner == edges[name])
        for name in _CANDIDATES
    }
    parent = max(_CANDIDATES, key=lambda name: len(pulled[name]))
    await lab.viewers.ask("mark")  # until here pulls have moved
    await asyncio.sleep(LEAD_S)
    return parent, pulled[parent]


async def _shared_again(lab: Lab) -> tuple[str, ...]:
    try:
        await until_true(lambda: _crosses_once(lab), AGREED_S, "pulls are not shared any more")
    except TimeoutError as error:
        return (str(error),)
    return ()


async def _crosses_once(lab: Lab) -> bool:
    """Say whether the origins serve one relay for each stream: nobody else plays there."""
    statuses = [await lab.cluster.status(name) for name in lab.cluster.origins]
    return sum(int(each["viewers"]) for each in statuses) == len(lab.streams)


def _scenario(name: str, title: str, act: Act, limits: Limits) -> Scenario:
    return Scenario(
        name,
        title,
        act,
        limits,
        settings=("edge.zone_relay=true", "edge.recheck_s=2", "node.zone=b"),
        origin_settings=("node.zone=a",),
        extra_edges=((),) * len(_CANDIDATES),
    )


SCENARIOS = (
    _scenario(
        "zone-parent-killed",
        "Edge node that pulls for its zone: kill -9",
        parent_killed,
        Limits(new_session=False, gap_ms=500),
    ),
    _scenario(
        "zone-parent-frozen",
        "Edge node that pulls for its zone: frozen for 5 s (SIGSTOP)",
        parent_frozen,
        # Silent for longer than the GOPs that origins keep.
        Limits(new_session=False, gap_ms=_SILENCE_MS + 500, lost=True),
    ),
    _scenario(
        "zone-parent-sigterm",
        "Edge node that pulls for its zone: SIGTERM",
        parent_drained,
        Limits(new_session=False, gap_ms=500),
    ),
)
