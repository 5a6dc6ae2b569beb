"""An edge loses a worker, is taken out of service, or gets new settings."""

import asyncio
import os
import signal
from time import monotonic
from typing import Any, Final

from common.ids import StreamKey
from edge.rendezvous import owner_of
from tests.failure.cluster import until_true
from tests.failure.lab import Fault, Lab
from tests.failure.row import Limits
from tests.failure.scenario import Scenario

_VICTIM: Final = "edge-1"
_AT: Final = 0  # its index

_SILENCE_MS: Final = 3000.0  # relay.silence_s
_HEARTBEAT_MS: Final = 10_000.0  # supervisor.heartbeat_timeout_s

DRAIN_S: Final = 8.0
LAST_S: Final = 3.0  # drain.viewers_last_s
RETIRE_S: Final = 4.0
NOW_S: Final = 2.0
"""A node that is told to end now has gone after so long."""

PORT_CLOSED_S: Final = 1.0
EXIT_S: Final = 1.0
"""What supervisor and workers may take to end once the deadline has come."""


async def worker_killed(lab: Lab) -> Fault:
    """Kill one worker of an edge: it pulls for its sibling, too."""
    await asyncio.sleep(1.5)  # figures are a heartbeat old
    workers = (await lab.cluster.status(_VICTIM))["workers"]
    at = await lab.kill_worker(_VICTIM, 0)
    return Fault(at=at, streams=frozenset(lab.streams), edge=_AT, victims=workers[0]["viewers"])


async def worker_frozen(lab: Lab) -> Fault:
    """Stop the worker of an edge that pulls most streams, until its supervisor ends it."""
    await asyncio.sleep(1.5)
    workers = {each["slot"]: each for each in (await lab.cluster.status(_VICTIM))["workers"]}
    owners = [owner_of(StreamKey(stream), workers) for stream in lab.streams]
    slot = max(workers, key=owners.count)
    pid = workers[slot]["pid"]
    at = lab.cluster.pause_worker(pid)
    await lab.cluster.until_ended({pid}, 2 * _HEARTBEAT_MS / 1000)
    victims = workers[slot]["viewers"]
    return Fault(at=at, streams=frozenset(lab.streams), edge=_AT, victims=victims)


async def drained(lab: Lab) -> Fault:
    """Ask an edge to end: those who can go elsewhere at once, the others stay to the last."""
    node = lab.cluster.node(_VICTIM)
    at = monotonic()
    os.kill(node.info.pid, signal.SIGTERM)
    problems = await _takes_nobody(lab)
    await node.process.ended()
    if (took_s := monotonic() - at) > DRAIN_S + EXIT_S:
        problems.append(f"the node ended {took_s:.1f} s after SIGTERM")
    viewers = await lab.viewers_at(_AT)
    problems += _parted(viewers, last_at=at + DRAIN_S - LAST_S)
    return _fault(lab, at, sum(not viewer["can_reconnect"] for viewer in viewers), problems)


async def drained_at_once(lab: Lab) -> Fault:
    """Ask an edge to end, and then tell it."""
    node = lab.cluster.node(_VICTIM)
    os.kill(node.info.pid, signal.SIGTERM)
    await asyncio.sleep(1.0)
    still_here = [viewer for viewer in await lab.viewers_at(_AT) if not viewer["moved_at"]]
    at = monotonic()
    os.kill(node.info.pid, signal.SIGTERM)
    await node.process.ended()
    took_s = monotonic() - at
    problems = [f"the node ended {took_s:.1f} s after the second signal"] if took_s > NOW_S else []
    return _fault(lab, at, len(still_here), problems)


async def reloaded(lab: Lab) -> Fault:
    """Have an edge replace its workers: nobody may notice before the former ones retire."""
    before = set((await lab.cluster.worker_pids(_VICTIM)).values())
    at = monotonic()
    os.kill(lab.cluster.node(_VICTIM).info.pid, signal.SIGHUP)
    await lab.cluster.until_ended(before, 60)
    viewers = await lab.viewers_at(_AT)
    moved = [when for viewer in viewers for when in viewer["moved_at"]]
    problems = _parted(viewers, last_at=at + RETIRE_S + DRAIN_S - LAST_S)
    if min(moved, default=at) < at + RETIRE_S:
        problems.append("viewers were sent away before the former workers retired")
    return _fault(lab, at, sum(not viewer["can_reconnect"] for viewer in viewers), problems)


async def _takes_nobody(lab: Lab) -> list[str]:
    async def refused() -> bool:
        return not await lab.cluster.accepts(_VICTIM)

    try:
        await until_true(refused, PORT_CLOSED_S, "the port stays open")
    except TimeoutError as error:
        return [str(error)]
    return []


def _parted(viewers: list[dict[str, Any]], *, last_at: float) -> list[str]:
    """Return what was wrong with how viewers were sent away; ``last_at``: not closed before."""
    asked = [viewer for viewer in viewers if viewer["can_reconnect"]]
    others = [viewer for viewer in viewers if not viewer["can_reconnect"]]
    closed = [when for viewer in others for when in viewer["disconnected_at"]]
    problems = []
    if stayed := sum(not viewer["moved_at"] for viewer in asked):
        problems.append(f"{stayed} viewers who can reconnect were not asked to")
    if lost := sum(bool(viewer["disconnects"]) for viewer in asked):
        problems.append(f"{lost} viewers who can reconnect were disconnected")
    if any(viewer["moved_at"] for viewer in others):
        problems.append("a viewer who cannot reconnect was asked to")
    if (early_s := last_at - min(closed, default=last_at)) > 0:
        problems.append(f"the first viewer was closed {early_s:.1f} s too early")
    return problems


def _fault(lab: Lab, at: float, victims: int, problems: list[str]) -> Fault:
    return Fault(
        at=at,
        streams=frozenset(lab.streams),
        edge=_AT,
        victims=victims,
        problems=tuple(problems),
    )


def _limits(*, gap_ms: float = 500.0, hit_gap_ms: float = 2000.0, lost: bool = False) -> Limits:
    # Those who were hit connect elsewhere: with a descriptor each.
    return Limits(
        new_session=False, gap_ms=gap_ms, hit_gap_ms=hit_gap_ms, descriptors=400, lost=lost
    )


_DRAIN = f"supervisor.drain_s={DRAIN_S}"

SCENARIOS = (
    Scenario(
        "edge-worker-killed",
        "Edge worker: kill -9",
        worker_killed,
        _limits(gap_ms=1000),
        quick=True,
    ),
    Scenario(
        "edge-worker-frozen",
        "Edge worker frozen (SIGSTOP) until its supervisor ends it",
        worker_frozen,
        # Silent for longer than the GOPs that origins keep.
        _limits(gap_ms=_SILENCE_MS + 500, hit_gap_ms=_HEARTBEAT_MS + 2500, lost=True),
        errors=("worker is silent", "worker has to be killed"),
    ),
    Scenario(
        "edge-sigterm",
        f"Edge node: SIGTERM, {DRAIN_S:g} s to drain",
        drained,
        _limits(),
        settings=(_DRAIN,),
    ),
    Scenario(
        "edge-sigterm-twice",
        "Edge node: SIGTERM, and again after 1 s",
        drained_at_once,
        _limits(),
    ),
    Scenario(
        "edge-reload",
        f"Edge node: SIGHUP, old workers retire after {RETIRE_S:g} s",
        reloaded,
        _limits(),
        settings=(f"supervisor.retire_s={RETIRE_S}", _DRAIN),
    ),
)
