import pytest

from common.clock import ManualClock
from common.cluster.memory import MemoryDirectory, MemoryTable
from common.cluster.records import EventKind, NodeState, Renewal
from common.config.model import LeaseSettings, PublisherPolicy
from common.errors import DirectoryUnavailable, StreamTaken
from tests.support.cluster import STREAM, make_claim, make_load, make_node

# What both tables have in common is shown in tests/property/test_directory_model.py.

TAKEOVER, REJECT = PublisherPolicy.TAKEOVER, PublisherPolicy.REJECT


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def table() -> MemoryTable:
    return MemoryTable()


@pytest.fixture
def directory(clock: ManualClock, table: MemoryTable) -> MemoryDirectory:
    return MemoryDirectory(clock, table=table)


async def test_directories_of_one_table_see_the_same_streams(
    directory: MemoryDirectory, clock: ManualClock, table: MemoryTable
) -> None:
    other = MemoryDirectory(clock, table=table)
    route = await directory.claim(make_claim(), REJECT)
    assert await other.lookup(STREAM) == route
    with pytest.raises(StreamTaken):
        await other.claim(make_claim(owner="origin-2/0/b"), REJECT)


async def test_directories_of_their_own_share_nothing(clock: ManualClock) -> None:
    await MemoryDirectory(clock).claim(make_claim(), REJECT)
    assert await MemoryDirectory(clock).lookup(STREAM) is None


async def test_a_lease_ends_when_it_is_not_renewed(clock: ManualClock, table: MemoryTable) -> None:
    directory = MemoryDirectory(clock, table=table, lease=LeaseSettings(ttl_s=10))
    route = await directory.claim(make_claim(), REJECT)
    clock.advance(9)
    assert await directory.renew([route]) == [Renewal.KEPT]
    clock.advance(9.9)
    assert await directory.lookup(STREAM) == route
    clock.advance(0.1)
    assert await directory.lookup(STREAM) is None


async def test_a_flushed_table_is_refilled_by_renewals(
    directory: MemoryDirectory, table: MemoryTable
) -> None:
    route = await directory.claim(make_claim(), TAKEOVER)
    await directory.put_node(make_node(), make_load())
    table.flush()
    assert await directory.lookup(STREAM) is None
    assert await directory.nodes() == []
    assert await directory.renew([route]) == [Renewal.RESTORED]
    assert await directory.lookup(STREAM) == route


async def test_a_renewal_that_comes_after_the_release_does_not_bring_the_lease_back(
    directory: MemoryDirectory,
) -> None:
    route = await directory.claim(make_claim(), TAKEOVER)
    assert await directory.release(route)
    assert await directory.renew([route]) == [Renewal.LOST]
    assert await directory.lookup(STREAM) is None


async def test_a_table_out_of_reach_fails_every_call(
    directory: MemoryDirectory, table: MemoryTable
) -> None:
    route = await directory.claim(make_claim(), TAKEOVER)
    table.go_down()
    calls = [
        directory.claim(make_claim(), TAKEOVER),
        directory.renew([route]),
        directory.release(route),
        directory.lookup(STREAM),
        directory.routes(),
        directory.put_node(make_node(), make_load()),
        directory.remove_node(make_node().id),
        directory.nodes(),
        directory.loads(),
        directory.kick(STREAM),
    ]
    for call in calls:
        with pytest.raises(DirectoryUnavailable):
            await call


async def test_listeners_resync_when_the_table_is_back(
    directory: MemoryDirectory, table: MemoryTable
) -> None:
    events = directory.events()
    assert (await anext(events)).kind is EventKind.RESYNC
    table.go_down()
    table.come_back()
    assert (await anext(events)).kind is EventKind.AWAY
    assert (await anext(events)).kind is EventKind.RESYNC


async def test_a_listener_that_starts_while_the_table_is_away_is_told_so(
    directory: MemoryDirectory, table: MemoryTable
) -> None:
    table.go_down()
    events = directory.events()
    assert (await anext(events)).kind is EventKind.AWAY
    table.come_back()
    assert (await anext(events)).kind is EventKind.RESYNC


async def test_a_listener_that_is_closed_is_forgotten(
    directory: MemoryDirectory, table: MemoryTable
) -> None:
    events = directory.events()
    await anext(events)
    assert len(table.listeners) == 1
    await events.aclose()
    assert not table.listeners


async def test_a_node_that_drains_is_announced_once(directory: MemoryDirectory) -> None:
    events = directory.events()
    await anext(events)
    for state in (NodeState.SERVING, NodeState.DRAINING, NodeState.DRAINING):
        await directory.put_node(make_node(state=state), make_load())
    await directory.kick(STREAM)
    assert [(await anext(events)).kind for _ in range(2)] == [EventKind.DRAINING, EventKind.KICK]
