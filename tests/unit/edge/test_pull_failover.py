"""A pull whose origin is frozen, or gone with its address, while another takes the stream over."""

import asyncio

import pytest

from common.ids import NodeId
from edge.pull import PullState
from edge.target import Source as From
from edge.target import Target
from tests.support.black_hole import black_hole
from tests.support.edge_worker import Edge, ends_with, streaming
from tests.support.sources import Source
from tests.support.wait import until
from tests.support.zones import IN_ZONE, edge_node, origin_node, put_nodes
from tests.unit.edge.test_pull_siblings import OTHER, members_owned_by

AS_LONG_AS_HOLD = {"relay": {"silence_s": 0.3, "first_byte_timeout_s": 0.3}}  # as by default


@pytest.mark.parametrize("sections", [AS_LONG_AS_HOLD])
async def test_who_joins_at_a_frozen_origin_is_held_until_a_standby_has_taken_over(
    edge: Edge,
) -> None:
    frozen, standby = await edge.source(), await edge.source()
    standby.send("b", 5)
    (await edge.way_to(frozen)).freeze()
    await edge.claim(frozen)
    watching = asyncio.ensure_future(edge.watch())
    await edge.suspicion()
    await edge.claim(standby)
    await until(ends_with(await watching, "b-4"))


AT_AN_ADDRESS_THAT_IS_GONE = IN_ZONE | {
    "relay": {"connect_timeout_s": 60.0},  # longer than any test
    "edge": {"hold_s": 0.05, "grace_s": 0.05, "zone_relay": True},
}


async def gone_source(edge: Edge, address: str) -> Source:
    source = await edge.source()
    source.address = address
    return source


async def until_it_connects_out_of_time(edge: Edge) -> None:
    """Wait until an attempt has outlasted hold or grace."""
    await until(lambda: bool(edge.streams._entries) and edge.pull().state is PullState.CONNECTING)
    over = asyncio.get_running_loop().time() + 0.05
    await until(lambda: asyncio.get_running_loop().time() > over)
    assert edge.pull().state is PullState.CONNECTING


@pytest.mark.parametrize("sections", [AT_AN_ADDRESS_THAT_IS_GONE])
@pytest.mark.parametrize("streamed", [False, True])
async def test_announcement_ends_an_attempt_at_an_address_that_is_gone(
    edge: Edge, streamed: bool
) -> None:
    other = await edge.source()
    other.send("b", 5)
    with black_hole() as address:
        watching = asyncio.ensure_future(edge.watch())
        if streamed:
            await streaming(edge)
        await edge.claim(await gone_source(edge, address))
        await until_it_connects_out_of_time(edge)
        await edge.claim(other)
        await until(watching.done)
        recorder = watching.result()
        await until(ends_with(recorder, "b-4"))
    assert not recorder.ended


@pytest.mark.parametrize("sections", [AT_AN_ADDRESS_THAT_IS_GONE])
async def test_change_of_the_siblings_ends_such_an_attempt(edge: Edge) -> None:
    sibling = await edge.source(OTHER)
    sibling.send("s", 5)
    with black_hole() as address:
        await edge.claim(await gone_source(edge, address))
        watching = asyncio.ensure_future(edge.watch())
        await until_it_connects_out_of_time(edge)
        edge.streams.members_changed(members_owned_by(OTHER))
        await until(watching.done)
        await until(ends_with(watching.result(), "s-4"))


@pytest.mark.parametrize("sections", [AT_AN_ADDRESS_THAT_IS_GONE])
async def test_parent_that_drains_ends_such_an_attempt(edge: Edge) -> None:
    origin = await edge.source()
    origin.send("a", 5)
    await edge.claim(origin)
    with black_hole() as address:
        await put_nodes(edge.directory, origin_node(), edge_node("edge-2", address))
        await edge.zone.refresh()
        watching = asyncio.ensure_future(edge.watch())
        await until_it_connects_out_of_time(edge)
        assert edge.pull().source is From.ZONE
        edge.zone.drains(NodeId("edge-2"))
        await until(watching.done)
        await until(ends_with(watching.result(), "a-4"))


@pytest.mark.parametrize(
    "sections", [{"relay": {"connect_timeout_s": 0.3}, "edge": {"hold_s": 0.2}}]
)
async def test_newer_publisher_at_the_address_of_a_failed_attempt_is_tried_before_the_end(
    edge: Edge,
) -> None:
    other = await edge.source()
    other.send("b", 5)
    with black_hole() as address:
        gone = await gone_source(edge, address)
        await edge.claim(gone)
        watching = asyncio.ensure_future(edge.watch())
        await edge.suspicion()  # hold begins anew, and ends within the second attempt
        await until(lambda: edge.pull().state is PullState.CONNECTING)
        route = await edge.claim(gone)
        await until(lambda: edge.pull()._target == Target(address, route.epoch))
        await edge.claim(other)
        await until(watching.done)
        await until(ends_with(watching.result(), "b-4"))
