"""Standbys of several workers, against a table in memory: who takes a stream over, and when."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from common.clock import ManualClock
from common.cluster.memory import MemoryTable
from common.cluster.records import Claim, ClusterEvent, EventKind, Route, StreamLoad
from common.config.model import LeaseSettings, PublisherPolicy, Settings
from common.errors import StreamTaken
from common.stream.flusher import Flusher
from origin.hub import Hub
from origin.lease import Lease
from origin.ownership import LeaseKeeper
from origin.standby import MAX_STANDBYS, PATIENCE, Standbys
from tests.support.cluster import STREAM, make_claim
from tests.support.spine import turns
from tests.support.wait import until
from tests.support.watched_directory import WatchedDirectory

STANDBY = PublisherPolicy.STANDBY
PERIOD_S = 300.0


class Session:
    """A publisher: on standby until it has a lease."""

    def __init__(self, worker: "Worker", owner: str) -> None:
        self.worker = worker
        self.claim: Claim = make_claim(owner=owner)
        self.lease: Lease | None = None
        self.lost: list[str] = []

    def codecs(self) -> tuple[str, ...]:
        return ()

    def promote(self, lease: Lease) -> None:
        self.lease = lease

    def lease_lost(self, reason: str) -> None:
        self.lost.append(reason)

    async def begin(self) -> None:
        try:
            self.lease = await self.worker.leases.acquire(self.claim, STANDBY, self)
        except StreamTaken:
            assert self.worker.standbys.admit(self)

    def end(self) -> None:
        if self.lease is None:
            self.worker.standbys.leave(self)
        elif self.worker.leases.release(self.lease):
            self.worker.standbys.inherit(STREAM)

    @property
    def is_live(self) -> bool:
        return self.lease is not None and not self.lost


class Worker:
    """What an origin worker has to do with leases, but nothing renews or looks up by itself."""

    def __init__(self, table: MemoryTable, clock: ManualClock) -> None:
        settings = Settings()
        loop = asyncio.get_running_loop()
        lease = LeaseSettings(ttl_s=1000, renew_s=PERIOD_S)
        self.directory = WatchedDirectory(table, clock)
        self.leases = LeaseKeeper(self.directory, lease, clock.monotonic)
        self.hub = Hub(settings, Flusher(settings.fanout, loop), loop)
        self.asked: list[Route] = []
        self.answers = True
        self.standbys = Standbys(
            self.directory, self.leases, self.hub, self._serves, PERIOD_S, clock.monotonic
        )

    async def _serves(self, route: Route) -> bool:
        self.asked.append(route)
        return self.answers

    async def look_up(self) -> None:
        """Do what is done once in a period."""
        self.standbys._attend_all()
        await turns()


@asynccontextmanager
async def running(table: MemoryTable, clock: ManualClock) -> AsyncIterator[Worker]:
    worker = Worker(table, clock)
    worker.leases.start()
    worker.standbys.start()
    await turns()
    yield worker
    await worker.standbys.close()
    await worker.leases.close()


@pytest.fixture
def table() -> MemoryTable:
    return MemoryTable()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def one(table: MemoryTable, clock: ManualClock) -> AsyncIterator[Worker]:
    async with running(table, clock) as worker:
        yield worker


@pytest.fixture
async def two(table: MemoryTable, clock: ManualClock) -> AsyncIterator[Worker]:
    async with running(table, clock) as worker:
        yield worker


async def begin(worker: Worker, owner: str) -> Session:
    session = Session(worker, owner)
    await session.begin()
    await turns()
    return session


def owner_in(table: MemoryTable) -> str | None:
    held = table.leases.get(STREAM)
    return held.route.claim.owner if held else None


def suspect(table: MemoryTable, epoch: int) -> None:
    table.announce(ClusterEvent(kind=EventKind.SUSPECT, stream=STREAM, epoch=epoch))


def epoch_of(session: Session) -> int:
    assert session.lease is not None
    return session.lease.epoch


@pytest.mark.parametrize("same_worker", [True, False])
async def test_standby_is_promoted_as_soon_as_the_stream_is_given_up(
    one: Worker, two: Worker, same_worker: bool
) -> None:
    first = await begin(one, "one/0/a")
    second = await begin(one if same_worker else two, "two/0/b")
    assert first.is_live
    assert not second.is_live
    first.end()
    await until(lambda: second.is_live, timeout_s=1)
    assert epoch_of(second) > epoch_of(first)


async def test_first_that_came_to_a_worker_is_first_and_one_that_left_is_none(
    one: Worker, table: MemoryTable
) -> None:
    live, *waiting = [await begin(one, f"one/0/{n}") for n in range(4)]
    waiting[0].end()
    live.end()
    await until(lambda: waiting[1].is_live, timeout_s=1)
    assert not waiting[2].is_live
    waiting[1].end()
    await until(lambda: waiting[2].is_live, timeout_s=1)
    assert one.standbys.counts == {}


async def test_exactly_one_of_many_workers_wins_and_the_others_stay_standby(
    table: MemoryTable, clock: ManualClock, one: Worker
) -> None:
    live = await begin(one, "one/0/a")
    async with (
        running(table, clock) as w2,
        running(table, clock) as w3,
        running(table, clock) as w4,
    ):
        workers = [w2, w3, w4]
        waiting = [await begin(worker, f"w{n}/0/x") for n, worker in enumerate(workers)]
        for round_ in range(3):
            live.end()
            await until(lambda: any(each.is_live for each in waiting), timeout_s=1)
            await turns(50)
            (live,) = (each for each in waiting if each.is_live)
            waiting.remove(live)
            assert owner_in(table) == live.claim.owner
            assert sum(sum(worker.standbys.counts.values()) for worker in workers) == 2 - round_


async def test_standbys_of_a_stream_are_bounded(one: Worker) -> None:
    await begin(one, "one/0/a")
    waiting = [await begin(one, f"one/0/s{n}") for n in range(MAX_STANDBYS)]
    assert not one.standbys.admit(Session(one, "one/0/more"))
    waiting[0].end()
    assert one.standbys.admit(Session(one, "one/0/more"))


async def test_standby_that_leaves_while_its_claim_is_under_way_leaves_the_stream_to_the_next(
    one: Worker, two: Worker, table: MemoryTable
) -> None:
    first = await begin(one, "one/0/a")
    leaving, staying = await begin(two, "two/0/b"), await begin(two, "two/0/c")
    with two.directory.held("claim"):
        first.end()
        await until(lambda: owner_in(table) == leaving.claim.owner)
        leaving.end()
    await until(lambda: staying.is_live, timeout_s=1)
    assert not leaving.is_live
    assert owner_in(table) == staying.claim.owner


async def test_stream_given_up_between_refusal_and_waiting_is_found_free(
    one: Worker, two: Worker, table: MemoryTable
) -> None:
    first = await begin(one, "one/0/a")
    second = Session(two, "two/0/b")
    with pytest.raises(StreamTaken):
        await two.leases.acquire(second.claim, STANDBY, second)
    first.end()
    await until(lambda: owner_in(table) is None)
    await turns()
    assert two.standbys.admit(second)
    await until(lambda: second.is_live, timeout_s=1)


async def test_suspected_holder_that_does_not_answer_is_taken_over_at_once(
    one: Worker, two: Worker
) -> None:
    first, second = await begin(one, "one/0/a"), await begin(two, "two/0/b")
    two.answers = False
    suspect(two.directory.table, epoch_of(first))
    await until(lambda: second.is_live, timeout_s=1)
    await until(lambda: first.lost == ["taken_over"], timeout_s=1)  # it was alive: the fence


async def test_suspected_holder_that_answers_keeps_the_stream(
    one: Worker, two: Worker, table: MemoryTable
) -> None:
    first, second = await begin(one, "one/0/a"), await begin(two, "two/0/b")
    suspect(table, epoch_of(first))
    await until(lambda: bool(two.asked))
    await turns()
    assert first.is_live
    assert not second.is_live


async def test_suspicion_of_another_epoch_than_the_holder_s_is_not_even_looked_at(
    one: Worker, two: Worker, table: MemoryTable
) -> None:
    first, second = await begin(one, "one/0/a"), await begin(two, "two/0/b")
    two.answers = False
    suspect(table, epoch_of(first) - 1)
    await turns(30)
    assert not two.asked
    assert not second.is_live


async def test_holder_that_moved_on_while_it_was_asked_is_not_overthrown(
    one: Worker, two: Worker, table: MemoryTable, clock: ManualClock
) -> None:
    first, second = await begin(one, "one/0/a"), await begin(two, "two/0/b")
    two.answers = False
    with two.directory.held("lookup"):
        suspect(table, epoch_of(first))
        await until(lambda: two.directory.calls["lookup"] == 2)
        clock.advance(1)
        newer = await one.directory.claim(make_claim(owner="x/0/x"), PublisherPolicy.TAKEOVER)
    await turns(30)
    assert not second.is_live
    assert table.leases[STREAM].route == newer


async def test_suspicion_of_what_this_worker_holds_itself_is_none_of_its_business(
    one: Worker, table: MemoryTable
) -> None:
    first, second = await begin(one, "one/0/a"), await begin(one, "one/0/b")
    one.answers = False
    suspect(table, epoch_of(first))
    await turns(30)
    assert first.is_live
    assert not second.is_live


async def test_missed_announcement_is_repaired_by_the_periodic_look_up(
    one: Worker, two: Worker, table: MemoryTable
) -> None:
    first, second = await begin(one, "one/0/a"), await begin(two, "two/0/b")
    table.listeners.clear()
    first.end()
    await until(lambda: owner_in(table) is None)
    two.answers = False
    await two.look_up()
    await until(lambda: second.is_live, timeout_s=1)


async def test_resync_looks_up_at_once(one: Worker, two: Worker, table: MemoryTable) -> None:
    first, second = await begin(one, "one/0/a"), await begin(two, "two/0/b")
    table.go_down()
    table.leases.clear()  # it ran out meanwhile
    two.answers = False
    first.worker.leases._leases.clear()
    table.come_back()
    await until(lambda: second.is_live, timeout_s=1)


async def test_flushed_table_does_not_overthrow_a_holder_that_answers(
    one: Worker, two: Worker, table: MemoryTable
) -> None:
    first, second = await begin(one, "one/0/a"), await begin(two, "two/0/b")
    table.flush()
    await two.look_up()
    assert two.asked
    assert owner_in(table) is None
    table.announce(ClusterEvent(kind=EventKind.RESYNC))
    await until(lambda: owner_in(table) == first.claim.owner, timeout_s=1)
    await turns(30)
    assert not second.is_live


async def test_holder_that_answers_but_never_comes_back_into_the_table_is_succeeded(
    one: Worker, two: Worker, table: MemoryTable, clock: ManualClock
) -> None:
    _, second = await begin(one, "one/0/a"), await begin(two, "two/0/b")
    table.flush()
    for _ in range(PATIENCE):
        await two.look_up()
        assert not second.is_live
        clock.advance(PERIOD_S)
    await two.look_up()
    await until(lambda: second.is_live, timeout_s=1)


async def test_nobody_is_promoted_from_another_worker_while_the_table_is_away(
    one: Worker, two: Worker, table: MemoryTable
) -> None:
    first, second = await begin(one, "one/0/a"), await begin(two, "two/0/b")
    epoch = epoch_of(first)
    table.go_down()
    first.end()
    suspect(table, epoch)
    await two.look_up()
    await turns(30)
    assert not second.is_live
    table.come_back()  # the release that the table did not hear of is repeated
    await until(lambda: second.is_live, timeout_s=1)


async def test_claim_that_the_table_does_not_answer_is_no_promotion(
    one: Worker, two: Worker, table: MemoryTable
) -> None:
    _, second = await begin(one, "one/0/a"), await begin(two, "two/0/b")
    table.go_down()
    table.announce(ClusterEvent(kind=EventKind.RELEASED, stream=STREAM, epoch=1 << 50))
    await turns(30)
    assert not second.is_live


async def test_standby_of_the_same_worker_needs_no_table(one: Worker, table: MemoryTable) -> None:
    first, second = await begin(one, "one/0/a"), await begin(one, "one/0/b")
    table.go_down()
    first.end()
    await until(lambda: second.is_live, timeout_s=1)
    assert epoch_of(second) == 0
    table.come_back()
    await until(lambda: epoch_of(second) > 0, timeout_s=1)
    assert owner_in(table) == second.claim.owner
    assert not second.lost


async def test_worker_that_is_going_promotes_nobody_and_takes_nobody_in(
    one: Worker, two: Worker, table: MemoryTable
) -> None:
    first, second = await begin(one, "one/0/a"), await begin(two, "two/0/b")
    two.standbys.stop_promoting()
    first.end()
    await until(lambda: owner_in(table) is None)
    await two.look_up()
    await turns(30)
    assert not second.is_live
    assert not two.standbys.admit(Session(two, "two/0/c"))
    assert not two.standbys.inherit(STREAM)


async def test_worker_that_is_going_gives_back_what_it_was_just_claiming(
    one: Worker, two: Worker, table: MemoryTable
) -> None:
    first, second = await begin(one, "one/0/a"), await begin(two, "two/0/b")
    with two.directory.held("claim"):
        first.end()
        await until(lambda: owner_in(table) == second.claim.owner)
        two.standbys.stop_promoting()
    await until(lambda: owner_in(table) is None)
    assert not second.is_live


async def test_standbys_are_counted_with_what_the_worker_does_for_each_stream(
    one: Worker, two: Worker
) -> None:
    await begin(one, "one/0/a")
    await begin(two, "two/0/b")
    waiting = await begin(two, "two/0/c")
    load = StreamLoad(viewers=3)
    assert two.standbys.added_to({}) == {STREAM: StreamLoad(standbys=2)}
    assert two.standbys.added_to({STREAM: load}) == {STREAM: StreamLoad(viewers=3, standbys=2)}
    waiting.end()
    assert two.standbys.counts == {STREAM: 1}
