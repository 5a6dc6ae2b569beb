"""Publishers that come to a stream which somebody holds, by what the table says."""

from collections.abc import Awaitable, Callable

import pytest

from common.cluster.memory import MemoryTable
from common.cluster.records import Claim, Route
from common.config.model import LeaseSettings, PublisherPolicy
from common.errors import StreamTaken
from origin.claims import Claims
from origin.lease import Lease
from origin.ownership import LeaseKeeper
from tests.support.cluster import STREAM, make_claim
from tests.support.watched_directory import WatchedDirectory

REJECT, STANDBY = PublisherPolicy.REJECT, PublisherPolicy.STANDBY
MINE = make_claim(owner="me/0/aa")
THEIRS = make_claim(owner="they/0/bb")
OTHERS = make_claim(owner="others/0/cc")


class Holder:
    def codecs(self) -> tuple[str, ...]:
        return ()

    def lease_lost(self, reason: str) -> None:
        pytest.fail(f"lost: {reason}")


class Table(WatchedDirectory):
    ends_after_refusal: Route | None = None

    async def claim(
        self, claim: Claim, policy: PublisherPolicy, *, over: int = 0, age_s: float = 0.0
    ) -> Route:
        try:
            return await super().claim(claim, policy, over=over, age_s=age_s)
        except StreamTaken:
            if self.ends_after_refusal is not None:
                await self.release(self.ends_after_refusal)
            raise


class Worker:
    """A worker; holders that are asked give ``answers``, after ``meanwhile``."""

    def __init__(self) -> None:
        self.table = MemoryTable()
        self.directory = Table(self.table)
        self.leases = LeaseKeeper(self.directory, LeaseSettings())
        self.claims = Claims(self.directory, self.leases, self._serves)
        self.answers = False
        self.asked: list[Route] = []
        self.meanwhile: Callable[[], Awaitable[None]] | None = None

    async def acquire(self, policy: PublisherPolicy = REJECT) -> Lease:
        return await self.claims.acquire(MINE, policy, Holder())

    async def _serves(self, route: Route) -> bool:
        self.asked.append(route)
        if self.meanwhile is not None:
            await self.meanwhile()
        return self.answers


async def test_the_stream_of_a_dead_holder_is_claimed_over_it() -> None:
    worker = Worker()
    dead = await worker.directory.claim(THEIRS, REJECT)
    lease = await worker.acquire()
    assert worker.asked == [dead]
    assert worker.table.leases[STREAM].route == lease.route
    assert lease.epoch > dead.epoch


async def test_a_holder_that_answers_keeps_its_stream() -> None:
    worker = Worker()
    worker.answers = True
    held = await worker.directory.claim(THEIRS, REJECT)
    with pytest.raises(StreamTaken):
        await worker.acquire()
    assert worker.table.leases[STREAM].route == held


async def test_who_has_moved_on_while_the_holder_was_asked_is_not_overthrown() -> None:
    worker = Worker()
    dead = await worker.directory.claim(THEIRS, REJECT)

    async def move_on() -> None:
        await worker.directory.claim(OTHERS, REJECT, over=dead.epoch)

    worker.meanwhile = move_on
    with pytest.raises(StreamTaken):
        await worker.acquire()
    assert worker.table.leases[STREAM].route.claim == OTHERS


async def test_a_stream_that_is_given_up_when_it_is_looked_up_needs_no_question() -> None:
    worker = Worker()
    held = await worker.directory.claim(THEIRS, REJECT)
    worker.directory.ends_after_refusal = held
    assert (await worker.acquire()).epoch > held.epoch
    assert not worker.asked


async def test_a_table_that_goes_away_meanwhile_leaves_the_refusal() -> None:
    worker = Worker()
    await worker.directory.claim(THEIRS, REJECT)

    async def go_down() -> None:
        worker.table.go_down()

    worker.meanwhile = go_down
    with pytest.raises(StreamTaken):
        await worker.acquire()


async def test_a_publisher_of_this_very_worker_needs_no_question() -> None:
    worker = Worker()
    await worker.leases.acquire(OTHERS, REJECT, Holder())
    with pytest.raises(StreamTaken):
        await worker.acquire()
    assert not worker.asked


async def test_who_may_wait_does_not_ask_the_holder() -> None:
    worker = Worker()
    await worker.directory.claim(THEIRS, STANDBY)
    with pytest.raises(StreamTaken):
        await worker.acquire(STANDBY)
    assert not worker.asked
