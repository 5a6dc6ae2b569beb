"""A parent that fails again and again, or for good, and what viewers behind it have of that."""

import itertools
from collections.abc import Callable

import pytest

from common.clock import ManualClock
from common.ids import NodeId
from edge.rendezvous import owner_of
from edge.target import Source as From
from tests.support.edge_worker import Edge, ends_with
from tests.support.sources import Source
from tests.support.spine import STREAM, turns
from tests.support.wait import until
from tests.support.zones import IN_ZONE, edge_node, origin_node, put_nodes

SELF = "edge-1"
PARENT = next(
    NodeId(name)
    for name in (f"edge-{n}" for n in itertools.count(2))
    if owner_of(STREAM, (name, SELF)) == name
)


@pytest.fixture
def sections() -> dict[str, dict[str, object]]:
    return IN_ZONE


@pytest.fixture
def clock(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """The clock by which the zone avoids edges."""
    clock = ManualClock()
    monkeypatch.setattr(edge.zone, "_now", clock.monotonic)
    return clock


async def live_source(edge: Edge) -> Source:
    source = await edge.source()
    source.begin(4711)
    source.send("a", 5)
    return source


def asked(source: Source, times: int) -> Callable[[], bool]:
    return lambda: len(source.orders) == times


async def with_parent(edge: Edge, address: str) -> None:
    await put_nodes(edge.directory, origin_node(), edge_node(SELF, "h:1"))
    await put_nodes(edge.directory, edge_node(PARENT, address))
    await edge.zone.refresh()


async def rechecked(edge: Edge) -> None:
    """Have the pull look at everything again, to the end."""
    lookups = edge.directory.calls["lookup"]
    edge.pull().recheck()
    await until(lambda: edge.directory.calls["lookup"] > lookups)
    await turns()


async def test_relay_that_works_is_left_for_a_blocked_parent_ever_more_seldom(
    edge: Edge, clock: ManualClock
) -> None:
    origin = await live_source(edge)
    await edge.claim(origin)
    await with_parent(edge, await edge.closing_port())
    recorder = await edge.watch()
    await until(ends_with(recorder, "a-4"))
    assert edge.zone.avoids(PARENT)
    for relays, times in enumerate((1, 2, 4), 1):
        clock.advance(times * edge.zone.cool_down_s - 0.001)
        await rechecked(edge)
        assert len(origin.orders) == relays, "nothing moves before the time"
        clock.advance(0.001)
        await rechecked(edge)
        await until(asked(origin, relays + 1))
        await until(lambda: origin.relays == 1)
    assert recorder.frames == [f"a-{n}" for n in range(5)]


async def test_parent_that_has_streamed_again_has_no_failures_behind_it(
    edge: Edge, clock: ManualClock
) -> None:
    origin, parent = await live_source(edge), await live_source(edge)
    await edge.claim(origin)
    await with_parent(edge, parent.address)
    for times in (1, 2, 4):
        edge.zone.avoid(PARENT)
        clock.advance(times * edge.zone.cool_down_s)
    recorder = await edge.watch()
    await until(ends_with(recorder, "a-4"))
    assert edge.pull().source is From.ZONE
    await parent.kill()
    await until(lambda: edge.zone.avoids(PARENT))
    clock.advance(edge.zone.cool_down_s)
    assert not edge.zone.avoids(PARENT)


@pytest.mark.parametrize(
    "sections",
    [
        IN_ZONE
        | {"relay": {"silence_s": 0.5}}
        | {"edge": IN_ZONE["edge"] | {"grace_s": 0.5, "hold_s": 5.0}}
    ],
)
async def test_grace_behind_a_parent_that_falls_silent_counts_from_the_last_media(
    edge: Edge,
) -> None:
    origin, parent = await live_source(edge), await live_source(edge)
    await edge.claim(origin)
    await with_parent(edge, parent.address)
    recorder = await edge.watch()
    await until(ends_with(recorder, "a-4"))
    origin.end()  # as the publisher leaves; the parent gives its own viewers grace
    await until(lambda: bool(recorder.ended))
    # All the time was over when the parent was left.
    assert len(origin.orders) == 1
