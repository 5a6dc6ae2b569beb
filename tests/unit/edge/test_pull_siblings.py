"""One pull per host: workers that ask each other. Siblings are real servers on Unix sockets."""

import itertools

import pytest

from common.errors import StreamNotFound
from common.stream.viewer import ViewerKind
from edge.pull import PullState
from edge.siblings import owner_of
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


async def test_worker_that_no_sibling_asks_any_more_pulls_no_longer_beside_the_owner(
    edge: Edge,
) -> None:
    source = await edge.source()
    source.send("a", 5)
    await edge.claim(source)
    recorder = Recorder(
        await edge.streams.acquire(order(kind=ViewerKind.SIBLING, hops=(edge.context.node,)))
    )
    assert edge.pull().direct
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
