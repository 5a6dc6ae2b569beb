"""Whatever happens to origins and their table: one owner, and a stream that is live is found.

Three lease keepers share a table. Publishers come and go, the table is flushed or away for all or
for one of them, workers are stopped and go on, time passes. Then every keeper that can reach the
table renews once, and hears what is announced meanwhile. From there on no stream may have two that
serve it, and whoever serves one must be where the table says.

FAULT_SEQUENCES in the environment says how many random sequences are tried.
"""

import asyncio
import logging
import os
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

from common.clock import ManualClock
from common.cluster.directory import Directory
from common.cluster.records import Claim, ClusterEvent, EventKind, Renewal, Route
from common.config.model import PublisherPolicy
from common.errors import DirectoryUnavailable, StreamTaken
from common.ids import StreamKey
from origin.lease import Lease
from origin.ownership import LeaseKeeper
from tests.support.cluster import make_claim
from tests.support.worlds import LEASE, MemoryWorld, RedisWorld, World

T = TypeVar("T")

RENEW_S = int(LEASE.renew_s)
STREAMS = [StreamKey("live/a"), StreamKey("live/b")]
NODES = range(3)


class View:
    """A node's view of the table, which can be cut. Only what leases need."""

    def __init__(self, table: Directory) -> None:
        self._table = table
        self.cut = False

    async def claim(
        self, claim: Claim, policy: PublisherPolicy, *, over: int = 0, age_s: float = 0.0
    ) -> Route:
        return await self._reach().claim(claim, policy, over=over, age_s=age_s)

    async def renew(self, routes: Sequence[Route]) -> list[Renewal | None]:
        return await self._reach().renew(routes)

    async def release(self, route: Route) -> bool:
        return await self._reach().release(route)

    def _reach(self) -> Directory:
        if self.cut:
            raise DirectoryUnavailable("cut")
        return self._table


class Session:
    """A publisher under a lease."""

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self.lost = False

    def codecs(self) -> tuple[str, ...]:
        return ()

    def lease_lost(self, reason: str) -> None:
        self.lost = True


class Node:
    """A worker: its leases, and the announcements that it has not read yet."""

    def __init__(self, number: int, table: Directory, clock: ManualClock) -> None:
        self.name = f"node-{number}"
        self.view = View(table)
        # The rest of the interface is not used by what is tested here.
        self.keeper = LeaseKeeper(self.view, LEASE, clock.monotonic)  # type: ignore[arg-type]
        self.sessions: dict[StreamKey, Session] = {}
        self.unread: list[ClusterEvent] = []
        self.stopped = False

    @property
    def connected(self) -> bool:
        return not (self.stopped or self.view.cut)

    def serves(self, stream: StreamKey) -> Lease | None:
        session = self.sessions.get(stream)
        if self.stopped or session is None or session.lost or not self.keeper.trusted:
            return None
        assert self.keeper.holds(stream)
        return session.lease

    async def publish(self, stream: StreamKey, policy: PublisherPolicy, over: int) -> None:
        claim = make_claim(stream, owner=f"{self.name}/0/{uuid.uuid4().hex[:8]}")
        session = Session()
        try:
            session.lease = await self.keeper.acquire(
                claim, policy, session, over=over, provisionally=not over
            )
        except (StreamTaken, DirectoryUnavailable):
            return
        self.sessions[stream] = session  # a former one of this worker is thrown out

    async def unpublish(self, stream: StreamKey) -> None:
        session = self.sessions.pop(stream)
        if session.lease is not None and not session.lost:
            self.keeper.release(session.lease)
        await self.keeper._releases.finish()

    async def read(self) -> None:
        unread, self.unread = self.unread, []
        for event in unread:
            self.keeper._handle(event)
        await self.keeper._releases.finish()

    async def renew(self) -> None:
        await self.keeper._renew_once()
        await self.keeper._releases.finish()


class Faults(RuleBasedStateMachine):
    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.runner = asyncio.Runner()
        self.clock = ManualClock()
        self.highest = 0
        self.run(world.start())
        self.events: AsyncIterator[ClusterEvent] = world.directory.events()
        self.run(anext(self.events))  # RESYNC
        self.nodes = [Node(number, world.directory, self.clock) for number in NODES]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        try:
            self.settle(NODES)  # with those that are connected now …
            self.the_table_is_back(set(NODES))
            for node in self.nodes:
                node.stopped = False
            self.settle(NODES)  # … and with all
        finally:
            self.run(self.events.aclose())  # type: ignore[attr-defined]  # both are generators
            self.run(self.world.close())
            self.runner.close()

    async def spread(self) -> None:
        """Let what was announced reach the nodes: those that are cut off miss it."""
        mark = StreamKey(f"mark/{uuid.uuid4()}")
        await self.world.directory.kick(mark)
        async with asyncio.timeout(5):
            while (event := await anext(self.events)).stream != mark:
                self.highest = max(self.highest, event.epoch)
                for node in self.nodes:
                    if not node.view.cut:
                        node.unread.append(event)

    @rule(
        number=st.sampled_from(NODES),
        stream=st.sampled_from(STREAMS),
        policy=st.sampled_from(PublisherPolicy),
    )
    def publish(self, number: int, stream: StreamKey, policy: PublisherPolicy) -> None:
        node = self.nodes[number]
        if not node.stopped:
            self.run(node.publish(stream, policy, 0))
            self.run(self.spread())

    @rule(number=st.sampled_from(NODES), stream=st.sampled_from(STREAMS), stale=st.booleans())
    def take_over_from_who_seems_dead(self, number: int, stream: StreamKey, stale: bool) -> None:
        node = self.nodes[number]
        if node.stopped or node.keeper.holds(stream):
            return
        route = self.run(self.world.directory.lookup(stream))
        over = route.epoch - stale if route else 1
        self.run(node.publish(stream, PublisherPolicy.STANDBY, over))
        self.run(self.spread())

    @rule(number=st.sampled_from(NODES), stream=st.sampled_from(STREAMS))
    def unpublish(self, number: int, stream: StreamKey) -> None:
        node = self.nodes[number]
        if not node.stopped and stream in node.sessions:
            self.run(node.unpublish(stream))
            self.run(self.spread())

    @rule(number=st.sampled_from(NODES))
    def the_table_is_cut_off_from_one(self, number: int) -> None:
        self.nodes[number].view.cut = True

    @rule()
    def the_table_is_away_for_all(self) -> None:
        for node in self.nodes:
            node.view.cut = True

    @rule(numbers=st.sets(st.sampled_from(NODES), min_size=1))
    def the_table_is_back(self, numbers: set[int]) -> None:
        for node in (self.nodes[number] for number in sorted(numbers)):
            if node.view.cut:
                node.view.cut = False
                node.unread.append(ClusterEvent(kind=EventKind.RESYNC))

    @rule()
    def the_table_is_flushed(self) -> None:
        self.run(self.world.flush(self.highest))

    @rule(number=st.sampled_from(NODES))
    def a_worker_is_stopped(self, number: int) -> None:
        self.nodes[number].stopped = True

    @rule(number=st.sampled_from(NODES))
    def a_worker_goes_on(self, number: int) -> None:
        self.nodes[number].stopped = False

    @rule(number=st.sampled_from(NODES))
    def a_worker_reads_what_was_announced(self, number: int) -> None:
        node = self.nodes[number]
        if not node.stopped:
            self.run(node.read())
            self.run(self.spread())

    @rule(periods=st.integers(1, 4), order=st.permutations(NODES))
    def time_passes(self, periods: int, order: list[int]) -> None:
        for _ in range(periods):
            self.pass_time(RENEW_S)
            for number in order:
                if not self.nodes[number].stopped:
                    self.run(self.nodes[number].renew())
            self.run(self.spread())

    @precondition(lambda self: any(node.stopped for node in self.nodes))
    @rule()
    def a_lease_runs_out(self) -> None:
        for node in self.nodes:
            node.stopped = True
        self.pass_time(int(LEASE.ttl_s) + 1000)

    @rule(order=st.permutations(NODES))
    def one_renewal_period_later_all_is_well(self, order: list[int]) -> None:
        self.settle(order)

    def settle(self, order: Sequence[int]) -> None:
        nodes = [self.nodes[number] for number in order if self.nodes[number].connected]
        self.pass_time(RENEW_S)
        for node in nodes:
            self.run(node.renew())
            self.run(self.spread())
        while any(node.unread for node in nodes):
            for node in nodes:
                self.run(node.read())
            self.run(self.spread())
        for stream in STREAMS:
            serving = [node for node in nodes if node.serves(stream)]
            assert len(serving) <= 1, [node.name for node in serving]
            for node in serving:
                lease = node.serves(stream)
                found = self.run(self.world.directory.lookup(stream))
                assert lease is not None
                assert found is not None
                assert found == lease.route

    def pass_time(self, seconds: int) -> None:
        self.run(self.world.advance(seconds, self.highest))
        # In steps, as loops turn: who is not stopped shows it.
        for _ in range(10):
            self.clock.advance(seconds / 10)
            for node in self.nodes:
                if not node.stopped:
                    node.keeper._sleep.tick()


LIMITS = settings(
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    # What thousands of faults have to say would be kept until the end of the test.
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def sequences(default: int) -> int:
    return int(os.environ.get("FAULT_SEQUENCES", default))


def test_one_owner_that_is_found_after_any_faults() -> None:
    run_state_machine_as_test(
        lambda: Faults(MemoryWorld()), settings=settings(LIMITS, max_examples=sequences(1000))
    )


@pytest.mark.integration
def test_one_owner_that_is_found_after_any_faults_on_redis(redis_url: str) -> None:
    run_state_machine_as_test(
        lambda: Faults(RedisWorld(redis_url)), settings=settings(LIMITS, max_examples=sequences(30))
    )
