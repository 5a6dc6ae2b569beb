"""One pull per host: workers that ask each other. Siblings are real servers on Unix sockets."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from common.errors import StreamNotFound
from common.ids import StreamKey
from common.stream.viewer import ViewerKind
from edge.pull import PullState
from edge.rendezvous import owner_of
from edge.target import Source
from tests.support.edge_worker import Edge, ends_with, order, streaming, with_edge
from tests.support.sources import Recorder
from tests.support.spine import STREAM
from tests.support.wait import until


def members_owned_by(slot: int) -> frozenset[int]:
    """Return the workers of a host, 0 among them, of which ``slot`` owns the stream."""
    others = (frozenset({0, slot, third}) for third in range(1, 100))
    return next(members for members in others if owner_of(STREAM, members) == slot)


OTHER = next(slot for slot in range(1, 100) if owner_of(STREAM, {0, slot}) == slot)


async def test_sibling_that_owns_the_stream_is_asked_not_the_table(edge: Edge) -> None:
    sibling = await edge.source(OTHER)
    sibling.send("s", 5)
    edge.streams.members_changed(members_owned_by(OTHER))
    recorder = await edge.watch()
    await until(ends_with(recorder, "s-4"))
    assert edge.directory.calls["lookup"] == 0
    assert sibling.orders[0].kind is ViewerKind.SIBLING


async def test_stream_goes_to_and_from_a_sibling_while_it_runs(edge: Edge) -> None:
    source, recorder = await streaming(edge)
    sibling = await edge.source(OTHER)
    sibling.send("s", 5)
    edge.streams.members_changed(members_owned_by(OTHER))
    await until(ends_with(recorder, "s-4"))
    await until(lambda: not source.connections)
    edge.streams.members_changed(frozenset({0}))
    source.send("b", 1, first=5)
    await until(ends_with(recorder, "b-5"))
    await until(lambda: not sibling.connections)
    assert all(before < after for before, after in itertools.pairwise(recorder.times))
    assert not recorder.ended


async def test_sibling_that_dies_is_replaced_as_soon_as_that_is_known(edge: Edge) -> None:
    sibling = await edge.source(OTHER)
    sibling.send("s", 5)
    edge.streams.members_changed(members_owned_by(OTHER))
    recorder = await edge.watch()
    await until(ends_with(recorder, "s-4"))
    source = await edge.source()
    source.send("a", 5)
    await edge.claim(source)
    await sibling.kill()
    await until(lambda: edge.pull().state is PullState.LOST)
    edge.streams.members_changed(frozenset({0}))
    await until(ends_with(recorder, "a-4"))
    assert not recorder.ended


@pytest.mark.parametrize("runs", [False, True])
async def test_sibling_that_has_waited_already_is_believed(edge: Edge, runs: bool) -> None:
    sibling = await edge.source(OTHER)
    edge.streams.members_changed(members_owned_by(OTHER))
    if not runs:
        with pytest.raises(StreamNotFound):
            await edge.watch()
        assert len(sibling.orders) == 1
        return
    sibling.send("s", 5)
    recorder = await edge.watch()
    sibling.end()
    await until(lambda: bool(recorder.ended), timeout_s=edge.settings.edge.grace_s / 2)


async def test_worker_that_a_sibling_asks_pulls_itself_whoever_it_thinks_is_the_owner(
    edge: Edge,
) -> None:
    sibling = await edge.source(OTHER)
    sibling.send("s", 5)
    edge.streams.members_changed(members_owned_by(OTHER))
    recorder = await edge.watch()
    source = await edge.source()
    source.send("a", 5)
    await edge.claim(source)
    relay = order(kind=ViewerKind.SIBLING, hops=(edge.context.node,))
    live = edge.streams.find(relay)
    assert live is not None
    await until(ends_with(recorder, "a-4"))
    assert source.orders[0].hello is not None
    assert source.orders[0].hello.hops == (edge.context.node,)


async def test_relay_to_a_node_elsewhere_shares_the_one_pull_of_this_host(edge: Edge) -> None:
    sibling = await edge.source(OTHER)
    sibling.send("s", 5)
    edge.streams.members_changed(members_owned_by(OTHER))
    source = await edge.source()
    await edge.claim(source)
    await edge.streams.acquire(order(kind=ViewerKind.RELAY, hops=("edge-9",)))
    assert edge.pull().source is Source.SIBLING
    assert sibling.orders[0].hello is not None
    assert sibling.orders[0].hello.hops == ("edge-9", edge.context.node)


async def test_worker_that_no_sibling_asks_any_more_pulls_no_longer_beside_the_owner(
    edge: Edge,
) -> None:
    source = await edge.source()
    source.send("a", 5)
    await edge.claim(source)
    recorder = Recorder(
        await edge.streams.acquire(order(kind=ViewerKind.SIBLING, hops=(edge.context.node,)))
    )
    assert edge.pull().source is Source.ORIGIN
    sibling = await edge.source(OTHER)
    sibling.send("s", 5)
    edge.streams.members_changed(members_owned_by(OTHER))
    await until(ends_with(recorder, "s-4"))
    await until(lambda: not source.connections)


@with_edge(recheck_s=0.05)
async def test_worker_that_was_asked_by_mistake_returns_to_the_owner_with_the_next_check(
    edge: Edge,
) -> None:
    sibling = await edge.source(OTHER)
    sibling.send("s", 5)
    source = await edge.source()
    source.send("a", 5)
    await edge.claim(source)
    edge.streams.members_changed(members_owned_by(OTHER))
    recorder = await edge.watch()
    mistaken = order(kind=ViewerKind.SIBLING, hops=(edge.context.node,))
    assert edge.streams.find(mistaken) is not None  # and gone again before it took anything
    await until(lambda: len(source.orders) == 1)  # for a moment only
    await until(lambda: sibling.relays == 1 and not source.relays)
    assert not recorder.ended


@asynccontextmanager
async def frozen_sibling(edge: Edge) -> AsyncIterator[list[asyncio.StreamWriter]]:
    """A sibling that accepts connections, as the kernel does for a stopped process, and no more."""
    taken: list[asyncio.StreamWriter] = []
    path = edge.context.sibling_socket(OTHER)
    server = await asyncio.start_unix_server(lambda _, writer: taken.append(writer), path)
    edge.streams.members_changed(members_owned_by(OTHER))
    try:
        yield taken
    finally:
        server.close()
        for writer in taken:
            writer.close()


FROZEN_S = {"relay": {"silence_s": 0.4}}  # longer than a viewer is held here


@pytest.mark.parametrize("sections", [FROZEN_S])
async def test_frozen_sibling_is_done_without_and_its_stream_found_all_the_same(edge: Edge) -> None:
    source = await edge.source()
    source.send("a", 5)
    await edge.claim(source)
    async with frozen_sibling(edge):
        recorder = await edge.watch()
        await until(ends_with(recorder, "a-4"))
        assert not recorder.ended


@pytest.mark.parametrize("sections", [FROZEN_S])
async def test_one_pull_that_finds_a_sibling_frozen_speaks_for_all(edge: Edge) -> None:
    source = await edge.source()
    source.send("a", 5)
    await edge.claim(source)
    async with frozen_sibling(edge) as connections:
        await edge.watch()
        owned = next(
            key
            for n in itertools.count()
            if owner_of(key := StreamKey(f"live/{n}"), members_owned_by(OTHER)) == OTHER
        )
        with pytest.raises(StreamNotFound):
            await edge.streams.acquire(order(owned))
        assert len(connections) == 1


@pytest.mark.parametrize("sections", [FROZEN_S | {"supervisor": {"heartbeat_timeout_s": 0.5}}])
async def test_sibling_that_outlives_its_heartbeat_timeout_owns_its_streams_again(
    edge: Edge,
) -> None:
    source = await edge.source()
    source.send("a", 5)
    await edge.claim(source)
    async with frozen_sibling(edge):
        recorder = await edge.watch()
    edge.context.sibling_socket(OTHER).unlink(missing_ok=True)
    sibling = await edge.source(OTHER)
    sibling.send("s", 5)
    await until(lambda: sibling.relays == 1)
    await until(lambda: not source.relays)
    assert not recorder.ended


@pytest.mark.parametrize("sections", [FROZEN_S])
async def test_what_takes_the_place_of_a_frozen_sibling_is_not_judged_by_it(edge: Edge) -> None:
    source = await edge.source()
    source.send("a", 5)
    await edge.claim(source)
    async with frozen_sibling(edge):
        await edge.watch()
    edge.context.sibling_socket(OTHER).unlink(missing_ok=True)
    edge.streams.members_changed(frozenset({0}))
    sibling = await edge.source(OTHER)
    sibling.send("s", 5)
    edge.streams.members_changed(members_owned_by(OTHER))
    await until(lambda: sibling.relays == 1)
