"""Which edge of a zone pulls a stream for all: the choice, and what it is made from."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from common.clock import ManualClock
from common.cluster.memory import MemoryDirectory
from common.cluster.records import NodeRecord, NodeRole, NodeState, Route
from common.ids import NodeId
from edge.rendezvous import owner_of
from edge.zone import MAX_COOL_DOWN_S, Parent, Zone
from tests.support.cluster import make_claim
from tests.support.spine import make_context, quick_settings
from tests.support.wait import until
from tests.support.zones import HERE, IN_ZONE, THERE, edge_node, origin_node, put_nodes

EDGES = tuple(edge_node(f"edge-{n}", f"edge-{n}:19350") for n in (1, 2, 3))
ROUTES = [Route(claim=make_claim(f"live/{n}", owner="origin/0/x"), epoch=1) for n in range(300)]


class World:
    """A table, and edges that read it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.directory = MemoryDirectory(self.clock)

    async def zone(
        self, node: str = "edge-1", sections: dict[str, dict[str, object]] = IN_ZONE
    ) -> Zone:
        """Return what an edge knows after a look at the table."""
        context = make_context(NodeRole.EDGE, quick_settings(**sections), folder=Path(), node=node)
        zone = Zone(self.directory, context, self.clock.monotonic)
        await zone.refresh()
        return zone


@pytest.fixture
async def world() -> World:
    world = World()
    await put_nodes(world.directory, origin_node(), *EDGES)
    return world


def parents(zone: Zone) -> set[NodeId | None]:
    found = [zone.parent(route) for route in ROUTES]
    return {each.node if each else None for each in found}


async def test_all_edges_of_a_zone_agree_and_one_of_them_goes_to_the_origin(world: World) -> None:
    zones = {each.id: await world.zone(each.id) for each in EDGES}
    pulling: Counter[NodeId] = Counter()
    for route in ROUTES:
        answers = {node: zone.parent(route) for node, zone in zones.items()}
        [own] = [node for node, answer in answers.items() if answer is None]
        others = [answer for answer in answers.values() if answer is not None]
        assert others == [Parent(own, f"{own}:19350")] * 2
        pulling[own] += 1
    assert min(pulling.values()) > 70, "streams are spread over the edges"


@pytest.mark.parametrize(
    ("sections", "origin"),
    [
        pytest.param({"node": {"zone": HERE}}, origin_node(), id="it is off"),
        pytest.param({"edge": {"zone_relay": True}}, origin_node(), id="this zone is unknown"),
        pytest.param(IN_ZONE, origin_node(zone=HERE), id="the origin is here"),
        pytest.param(IN_ZONE, origin_node(zone=""), id="the origin's zone is unknown"),
        pytest.param(IN_ZONE, origin_node("another"), id="the origin is unknown"),
    ],
)
async def test_edge_goes_to_the_origin_itself_when(
    sections: dict[str, dict[str, object]], origin: NodeRecord
) -> None:
    world = World()
    await put_nodes(world.directory, origin, *EDGES)
    assert parents(await world.zone(sections=sections)) == {None}


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(edge_node("edge-4", "h:1", zone=THERE), id="of another zone"),
        pytest.param(edge_node("edge-4", "h:1", zone=""), id="of no zone"),
        pytest.param(edge_node("edge-4", "h:1", state=NodeState.DRAINING), id="that drains"),
        pytest.param(edge_node("edge-4"), id="of an older release, or with the setting off"),
        pytest.param(edge_node("edge-4", "", ""), id="without a worker that is ready"),
        pytest.param(edge_node("edge-4", "h:1", role=NodeRole.ORIGIN), id="that is an origin"),
    ],
)
async def test_nobody_relays_from_a_node(world: World, other: NodeRecord) -> None:
    await put_nodes(world.directory, other)
    assert parents(await world.zone()) == {None, "edge-2", "edge-3"}


async def test_the_worker_that_is_asked_is_the_one_that_owns_the_pull_there() -> None:
    world = World()
    relays = ("h:0", "", "h:2", "h:3")
    await put_nodes(world.directory, origin_node(), edge_node("edge-2", *relays))
    zone = await world.zone()
    for route in ROUTES:
        parent = zone.parent(route)
        assert parent is not None
        assert parent.address == f"h:{owner_of(route.stream, (0, 2, 3))}"


async def test_edge_that_is_avoided_is_chosen_again_after_a_while(world: World) -> None:
    zone = await world.zone()
    zone.avoid(NodeId("edge-2"))
    await zone.refresh()
    assert parents(zone) == {None, "edge-3"}
    world.clock.advance(zone.cool_down_s)
    assert parents(zone) == {None, "edge-2", "edge-3"}


async def test_edge_that_fails_again_is_avoided_for_twice_as_long_until_it_has_streamed(
    world: World,
) -> None:
    zone, node = await world.zone(), NodeId("edge-2")
    for times in (1, 2, 4, 8):
        zone.avoid(node)
        zone.avoid(node)  # another pull, of the same failure
        world.clock.advance(times * zone.cool_down_s - 0.001)
        assert zone.avoids(node)
        await put_nodes(world.directory, *EDGES)  # its record is good all the time
        await zone.refresh()
        world.clock.advance(0.001)
        assert not zone.avoids(node)
    zone.has_streamed(node)
    zone.avoid(node)
    world.clock.advance(zone.cool_down_s)
    assert not zone.avoids(node)


@pytest.mark.parametrize(("recheck_s", "longest_s"), [(30, MAX_COOL_DOWN_S), (3600, 3600)])
async def test_edge_that_always_fails_is_still_asked_now_and_then(
    world: World, recheck_s: float, longest_s: float
) -> None:
    zone = await world.zone(sections=IN_ZONE | {"edge": IN_ZONE["edge"] | {"recheck_s": recheck_s}})
    for _ in range(2000):  # a power of two would not do
        zone.avoid(NodeId("edge-2"))
        world.clock.advance(longest_s)
        assert not zone.avoids(NodeId("edge-2"))
    zone.avoid(NodeId("edge-2"))
    world.clock.advance(longest_s - 0.001)
    assert zone.avoids(NodeId("edge-2"))


async def test_edge_whose_record_was_gone_begins_anew(world: World) -> None:
    zone, node = await world.zone(), NodeId("edge-2")
    zone.avoid(node)
    await world.directory.remove_node(node)
    await zone.refresh()
    world.clock.advance(zone.cool_down_s)
    await put_nodes(world.directory, *EDGES)
    await zone.refresh()
    zone.avoid(node)
    world.clock.advance(zone.cool_down_s)
    assert not zone.avoids(node)


async def test_last_listing_stands_while_the_table_is_away(world: World) -> None:
    zone = await world.zone()
    before = [zone.parent(route) for route in ROUTES]
    world.directory.table.go_down()
    await zone.refresh()
    assert [zone.parent(route) for route in ROUTES] == before


async def test_edge_that_says_it_drains_is_left_at_once_even_if_an_older_listing_comes(
    world: World,
) -> None:
    zone = await world.zone()
    told: list[str] = []
    zone.on_drain = lambda: told.append("drains")
    zone.drains(NodeId("edge-2"))
    assert zone.is_draining(NodeId("edge-2"))
    await zone.refresh()  # it still says "serving" there
    assert parents(zone) == {None, "edge-3"}
    zone.drains(NodeId("origin"))
    assert told == ["drains"], "others are no business of this zone"


async def test_edge_that_drains_is_not_chosen_from_an_old_listing_while_the_table_is_away(
    world: World,
) -> None:
    zone = await world.zone()
    zone.drains(NodeId("edge-2"))
    world.directory.table.go_down()
    world.clock.advance(zone.cool_down_s)
    await zone.refresh()
    assert parents(zone) == {None, "edge-3"}
    # Until the listing can be read, and says that it is back.
    world.directory.table.come_back()
    await put_nodes(world.directory, origin_node(), *EDGES)
    await zone.refresh()
    assert parents(zone) == {None, "edge-2", "edge-3"}


async def test_drain_whose_announcement_was_missed_is_found_in_the_listing(world: World) -> None:
    zone = await world.zone()
    told: list[str] = []
    zone.on_drain = lambda: told.append("drains")
    await put_nodes(world.directory, replace(EDGES[1], state=NodeState.DRAINING))
    await zone.refresh()
    await zone.refresh()
    assert told == ["drains"]
    assert zone.is_draining(NodeId("edge-2"))


async def test_listing_is_read_again_and_again_whatever_goes_wrong(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    zone = await world.zone()
    nodes = world.directory.nodes
    failures = [ValueError("nobody thought of this")]

    async def failing() -> list[NodeRecord]:
        if failures:
            raise failures.pop()
        return await nodes()

    await zone.start()
    try:
        monkeypatch.setattr(world.directory, "nodes", failing)
        await put_nodes(world.directory, edge_node("edge-4", "edge-4:19350"))
        await until(lambda: "edge-4" in parents(zone))
        assert not failures
    finally:
        await zone.close()


async def test_table_is_not_asked_where_the_setting_is_off(world: World) -> None:
    zone = await world.zone(sections={})
    await zone.start()
    assert zone._reading is None
    await zone.close()
