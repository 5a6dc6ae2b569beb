"""One pull per zone: an edge and others of its zone, which are real servers as its origins are."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import pytest

from common.cluster.records import NodeState
from common.ids import NodeId
from common.local.redis_server import HOST
from common.stream.viewer import ViewerKind
from edge.rendezvous import owner_of
from edge.target import Source as From
from tests.support.edge_worker import Edge, ends_with, order
from tests.support.sources import Recorder, Source
from tests.support.spine import STREAM, turns
from tests.support.wait import until
from tests.support.zones import IN_ZONE, edge_node, origin_node, put_nodes

SESSION = 4711
SELF = "edge-1"


@pytest.fixture
def sections() -> dict[str, dict[str, object]]:
    return IN_ZONE


def chosen_of(*others: str) -> list[str]:
    """Return the ids in the order in which they are the stream's parent, this edge left out."""
    left = list(others)
    order = []
    while left:
        order.append(owner_of(STREAM, left))
        left.remove(order[-1])
    return order


def names_before_this_edge() -> list[str]:
    """Return ids of edges that are all chosen before this one."""
    names = (f"edge-{n}" for n in itertools.count(2))
    return list(itertools.islice((n for n in names if owner_of(STREAM, (n, SELF)) == n), 3))


FIRST, SECOND, THIRD = chosen_of(*names_before_this_edge())


async def live_source(edge: Edge, *, frames: int = 5) -> Source:
    source = await edge.source()
    source.begin(SESSION)
    source.send("a", frames)
    return source


def hops_of(source: Source) -> tuple[str, ...]:
    """Return through which nodes the last one who asked sends the stream on."""
    assert source.orders[-1].hello is not None
    return source.orders[-1].hello.hops


async def in_zone(edge: Edge, **parents: Source) -> None:
    """Write this edge and others of its zone into the table, and read them."""
    others = [edge_node(name.replace("_", "-"), at.address) for name, at in parents.items()]
    await put_nodes(edge.directory, origin_node(), edge_node(SELF, "h:1"), *others)
    await edge.zone.refresh()


def named(**sources: Source) -> dict[str, Source]:
    names = {"first": FIRST, "second": SECOND, "third": THIRD}
    return {names[name].replace("-", "_"): source for name, source in sources.items()}


class Setting:
    """An origin in another zone, edges that are parents before this one, and a viewer."""

    def __init__(self, edge: Edge, origin: Source, parents: list[Source]) -> None:
        self.edge = edge
        self.origin = origin
        self.first, self.second = parents
        self.recorder: Recorder

    def send(self, first: int, count: int = 1) -> None:
        """Send frames as all of them have them."""
        for source in (self.origin, self.first, self.second):
            if STREAM in source.streams:
                source.send("a", count, first=first)

    async def until_shown(self, number: int) -> None:
        """Wait for a frame; nothing is missing before it and nothing comes twice."""
        await until(ends_with(self.recorder, f"a-{number}"))
        assert self.recorder.frames == [f"a-{n}" for n in range(number + 1)]
        assert not self.recorder.ended

    @property
    def relays(self) -> tuple[int, int, int]:
        """How many take the stream from the origin, the first and the second parent."""
        return self.origin.relays, self.first.relays, self.second.relays


@pytest.fixture
async def zone(edge: Edge) -> Setting:
    """The viewer watches by way of the first parent."""
    origin = await live_source(edge)
    await edge.claim(origin)
    parents = [await live_source(edge), await live_source(edge)]
    setting = Setting(edge, origin, parents)
    await in_zone(edge, **named(first=parents[0], second=parents[1]))
    setting.recorder = await edge.watch()
    await setting.until_shown(4)
    assert setting.relays == (0, 1, 0)
    return setting


async def test_edge_relays_from_its_parent_as_a_node_and_says_which_it_is(zone: Setting) -> None:
    [asked] = zone.first.orders
    assert asked.kind is ViewerKind.RELAY
    assert asked.hello is not None
    assert asked.hello.hops == (SELF,)
    assert zone.edge.pull().source is From.ZONE


async def test_parent_that_dies_is_followed_by_the_next_and_nothing_is_missing(
    zone: Setting,
) -> None:
    lookups = zone.edge.directory.calls["lookup"]
    await zone.first.kill()
    zone.send(5, 3)
    await zone.until_shown(7)
    assert zone.relays == (0, 0, 1)
    assert zone.edge.directory.calls["lookup"] == lookups, "the origin's place is known"
    assert not zone.edge.directory.calls["suspect"]


async def test_when_two_parents_have_failed_the_origin_is_asked(zone: Setting) -> None:
    third = await live_source(zone.edge)
    await in_zone(zone.edge, **named(first=zone.first, second=zone.second, third=third))
    await zone.second.kill()
    await zone.first.kill()
    zone.send(5)
    await zone.until_shown(5)
    assert zone.origin.relays == 1
    assert not third.orders


async def test_parent_that_drains_is_left_at_once(zone: Setting) -> None:
    record = edge_node(FIRST, zone.first.address, state=NodeState.DRAINING)
    await put_nodes(zone.edge.directory, record)
    await until(lambda: zone.relays == (0, 0, 1))
    zone.send(5)
    await zone.until_shown(5)


async def ends_the_stream(zone: Setting) -> None:
    zone.first.end()


async def sends_no_more(zone: Setting) -> None:
    """Keep the connection, and answer pings."""
    zone.send = lambda first, count=1: zone.origin.send(  # type: ignore[method-assign] # the world
        "a", count, first=first
    )


@pytest.mark.parametrize("sections", [IN_ZONE | {"relay": {"silence_s": 0.3}}])
@pytest.mark.parametrize("fails", [ends_the_stream, sends_no_more])
async def test_stream_that_a_parent_does_not_have_comes_from_the_origin(
    zone: Setting, fails: Callable[[Setting], Awaitable[None]]
) -> None:
    await fails(zone)
    zone.send(5)
    await zone.until_shown(5)
    assert zone.relays == (1, 0, 0)
    assert not zone.edge.directory.calls["suspect"]
    # No other stream is judged by it.
    assert not zone.edge.zone.avoids(NodeId(FIRST))


async def test_first_viewer_gets_from_the_origin_what_the_parent_does_not_find(edge: Edge) -> None:
    origin = await live_source(edge)
    await edge.claim(origin)
    parent = await edge.source()
    await in_zone(edge, **named(first=parent))
    recorder = await edge.watch()
    await until(ends_with(recorder, "a-4"))
    assert len(parent.orders) == 1
    assert edge.pull().source is From.ORIGIN


async def test_parent_that_cannot_be_reached_is_avoided_by_all_pulls(edge: Edge) -> None:
    origin = await live_source(edge)
    await edge.claim(origin)
    parent = await edge.source()
    await in_zone(edge, **named(first=parent))
    await parent.kill()
    recorder = await edge.watch()
    await until(ends_with(recorder, "a-4"))
    assert edge.zone.avoids(NodeId(FIRST))
    assert not edge.directory.calls["suspect"]


@pytest.mark.parametrize("sections", [IN_ZONE | {"relay": {"silence_s": 0.4}}])  # over `hold_s`
async def test_frozen_parent_does_not_use_up_the_time_for_which_a_viewer_is_held(
    edge: Edge,
) -> None:
    gone = await edge.source()
    await edge.claim(gone)
    await gone.kill()
    taken: list[asyncio.StreamWriter] = []
    frozen = await asyncio.start_server(lambda _, writer: taken.append(writer), HOST, 0)
    address = f"{HOST}:{frozen.sockets[0].getsockname()[1]}"
    await put_nodes(edge.directory, origin_node(), edge_node(FIRST, address))
    await edge.zone.refresh()
    try:
        waiting = asyncio.ensure_future(edge.watch())
        await until(lambda: bool(edge.directory.calls["suspect"]))
        origin = await live_source(edge)
        await edge.claim(origin)
        await until(ends_with(await waiting, "a-4"))
        assert len(taken) == 1
    finally:
        frozen.close()
        for writer in taken:
            writer.close()


@pytest.mark.parametrize("running", [False, True])
async def test_pull_that_another_node_asks_for_goes_to_the_origin_itself(
    edge: Edge, running: bool
) -> None:
    origin, parent = await live_source(edge), await live_source(edge)
    await edge.claim(origin)
    await in_zone(edge, **named(first=parent))
    if running:
        recorder = await edge.watch()
        await until(ends_with(recorder, "a-4"))
        assert parent.relays == 1
    relay = order(kind=ViewerKind.RELAY, hops=("edge-9",))
    await edge.streams.acquire(relay)
    await until(lambda: (origin.relays, parent.relays) == (1, 0))
    assert len(parent.orders) == running


async def test_pull_that_another_node_asks_for_goes_to_no_sibling_either(edge: Edge) -> None:
    origin = await live_source(edge)
    await edge.claim(origin)
    await in_zone(edge)
    slot = next(slot for slot in range(1, 100) if owner_of(STREAM, {0, slot}) == slot)
    sibling = await edge.source(slot)
    sibling.send("s", 5)
    edge.streams.members_changed(frozenset({0, slot}))
    await edge.streams.acquire(order(kind=ViewerKind.RELAY, hops=("edge-9",)))
    edge.streams.members_changed(frozenset({0, slot, 100}))
    await turns()
    assert edge.pull().source is From.ORIGIN
    assert not sibling.orders


@pytest.mark.parametrize(
    "sections", [IN_ZONE | {"edge": {"zone_relay": True, "recheck_s": 0.1, "linger_s": 5}}]
)
async def test_it_returns_to_its_parent_when_no_node_asks_any_more(edge: Edge) -> None:
    origin, parent = await live_source(edge), await live_source(edge)
    await edge.claim(origin)
    await in_zone(edge, **named(first=parent))
    relay = order(kind=ViewerKind.RELAY, hops=("edge-9",))
    other = Recorder(await edge.streams.acquire(relay), ViewerKind.RELAY)
    watching = await edge.watch()
    await asyncio.sleep(0.3)  # the checks themselves: while it is here nothing moves
    assert (origin.relays, parent.relays) == (1, 0)
    assert hops_of(origin) == ("edge-9", SELF)
    other.leave()
    await until(lambda: (origin.relays, parent.relays) == (0, 1))
    assert hops_of(parent) == (SELF,), "that one may be the parent now"
    for source in (origin, parent):
        source.send("a", 1, first=5)
    await until(ends_with(watching, "a-5"))
    assert watching.frames == [f"a-{n}" for n in range(6)]


async def test_running_relay_does_not_follow_each_change_of_the_zone(zone: Setting) -> None:
    edge = zone.edge
    await edge.directory.remove_node(NodeId(FIRST))
    await edge.zone.refresh()
    edge.pull().reconsider()
    await turns()
    zone.send(5)
    await zone.until_shown(5)
    assert zone.relays == (0, 1, 0)


async def test_running_relay_follows_it_with_the_next_check(zone: Setting) -> None:
    edge = zone.edge
    await edge.directory.remove_node(NodeId(FIRST))
    await edge.zone.refresh()
    edge.pull().recheck()
    await until(lambda: zone.relays == (0, 0, 1))
    zone.send(5)
    await zone.until_shown(5)
    # And where this edge is to pull for all, it does.
    await edge.directory.remove_node(NodeId(SECOND))
    await edge.zone.refresh()
    edge.pull().recheck()
    await until(lambda: zone.relays == (1, 0, 0))
    zone.send(6)
    await zone.until_shown(6)


async def test_relay_that_runs_well_stays_while_others_have_trouble_with_its_parent(
    zone: Setting,
) -> None:
    zone.edge.zone.avoid(NodeId(FIRST))
    lookups = zone.edge.directory.calls["lookup"]
    zone.edge.pull().recheck()
    await until(lambda: zone.edge.directory.calls["lookup"] > lookups)
    await turns()
    assert zone.relays == (0, 1, 0)


async def test_relay_from_a_parent_stays_when_the_publisher_moves(zone: Setting) -> None:
    other = await live_source(zone.edge)
    await zone.edge.claim(other)
    await turns()
    zone.send(5)
    await zone.until_shown(5)
    assert zone.relays == (0, 1, 0)
    assert not other.orders


async def test_only_the_worker_that_owns_the_pull_on_its_host_asks_the_parent(edge: Edge) -> None:
    origin, parent = await live_source(edge), await live_source(edge)
    await edge.claim(origin)
    await in_zone(edge, **named(first=parent))
    slot = next(slot for slot in range(1, 100) if owner_of(STREAM, {0, slot}) == slot)
    sibling = await edge.source(slot)
    sibling.send("s", 5)
    edge.streams.members_changed(frozenset({0, slot}))
    recorder = await edge.watch()
    await until(ends_with(recorder, "s-4"))
    assert edge.pull().source is From.SIBLING
    # When a sibling asks this one, it is the owner in that one's eyes.
    await edge.streams.acquire(order(kind=ViewerKind.SIBLING, hops=(SELF,)))
    await until(lambda: parent.relays == 1)
    assert not origin.orders
