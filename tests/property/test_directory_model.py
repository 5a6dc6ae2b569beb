"""One model, two tables: what the model says must hold in memory and in Redis alike."""

import asyncio
import uuid
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from common.cluster.records import (
    ClusterEvent,
    EventKind,
    NodeLoad,
    NodeRecord,
    NodeState,
    Renewal,
    Route,
)
from common.config.model import PublisherPolicy
from common.errors import StreamTaken
from common.ids import NodeId, StreamKey
from tests.support.cluster import make_claim, make_load, make_node
from tests.support.worlds import LEASE, MemoryWorld, RedisWorld, World

T = TypeVar("T")

STEPS_S = [3_000, 6_000, 11_000]

LONG_AGO_S = 1e10
"""Before the epoch of the clocks: who has been there for so long came before any other."""

STREAMS = [StreamKey("live/a"), StreamKey("}odd{")]
OWNERS = ["node-1/0/x", "node-1/1/y", "node-2/0/z"]
NODES = [NodeId("node-1"), NodeId("node-2")]


class DirectoryModel(RuleBasedStateMachine):
    """The contract of `Directory`, in dictionaries."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.runner = asyncio.Runner()
        self.now = 0
        self.held: dict[StreamKey, tuple[Route, int]] = {}  # with its end
        self.highest: dict[StreamKey, int] = {}  # epochs that the table remembers
        self.ever: dict[StreamKey, int] = {}  # epochs that were ever given
        self.granted: list[Route] = []
        self.nodes: dict[NodeId, tuple[NodeRecord, NodeLoad, int]] = {}
        self.expected: list[ClusterEvent] = [ClusterEvent(kind=EventKind.RESYNC)]
        self.run(world.start())
        self.events = world.directory.events()
        self.heard = [self.run(anext(self.events))]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.run(self.events.aclose())
        self.run(self.world.close())
        self.runner.close()

    def holder(self, stream: StreamKey) -> Route | None:
        route, end = self.held.get(stream, (None, 0))
        return route if end > self.now else None

    def hold(self, route: Route) -> None:
        self.held[route.stream] = (route, self.now + int(LEASE.ttl_s))
        for epochs in (self.highest, self.ever):
            epochs[route.stream] = max(epochs.get(route.stream, 0), route.epoch)

    def alive(self) -> list[tuple[NodeRecord, NodeLoad]]:
        return [(r, load) for _, (r, load, end) in sorted(self.nodes.items()) if end > self.now]

    def expect(self, kind: EventKind, **fields: Any) -> None:
        self.expected.append(ClusterEvent(kind=kind, **fields))

    @rule(
        stream=st.sampled_from(STREAMS),
        owner=st.sampled_from(OWNERS),
        policy=st.sampled_from(PublisherPolicy),
        age_s=st.sampled_from([0.0, LONG_AGO_S]),
        data=st.data(),
    )
    def claim(
        self,
        stream: StreamKey,
        owner: str,
        policy: PublisherPolicy,
        age_s: float,
        data: st.DataObject,
    ) -> None:
        claim = make_claim(stream, owner=owner)
        holder = self.holder(stream)
        taken = holder is not None and holder.claim.owner != owner
        epochs = [route.epoch for route in self.granted if route.stream == stream]
        over = data.draw(st.sampled_from([0, *epochs, *([holder.epoch] if holder else [])]))
        may_win = policy is PublisherPolicy.TAKEOVER and not age_s
        if taken and not may_win and holder.epoch != over:
            with pytest.raises(StreamTaken) as refusal:
                self.run(self.world.directory.claim(claim, policy, over=over, age_s=age_s))
            assert refusal.value.holder == holder.claim.node
            return
        route = self.run(self.world.directory.claim(claim, policy, over=over, age_s=age_s))
        assert route.claim == claim
        if holder is not None and not taken:
            assert route.epoch == holder.epoch
        elif age_s:
            assert route.epoch == self.highest.get(stream, 0) + 1
        else:
            assert route.epoch > self.ever.get(stream, 0)
        self.hold(route)
        self.granted.append(route)
        self.expect(EventKind.CLAIMED, stream=stream, epoch=route.epoch, route=route)

    @precondition(lambda self: self.granted)
    @rule(data=st.data(), codecs=st.sampled_from([(), ("avc1",), ("avc1", "mp4a")]))
    def renew(self, data: st.DataObject, codecs: tuple[str, ...]) -> None:
        some = data.draw(st.lists(st.sampled_from(self.granted), max_size=4))
        routes = [replace(route, claim=replace(route.claim, codecs=codecs)) for route in some]
        answers = self.run(self.world.directory.renew(routes))
        assert answers == [self.renewed(route) for route in routes]

    def renewed(self, route: Route) -> Renewal:
        holder = self.holder(route.stream)
        if holder and (holder.claim.owner, holder.epoch) == (route.claim.owner, route.epoch):
            self.hold(route)
            return Renewal.KEPT
        in_table = holder.epoch if holder else 0
        if self.highest.get(route.stream, 0) > route.epoch or in_table >= route.epoch:
            return Renewal.LOST
        self.hold(route)
        self.expect(EventKind.CLAIMED, stream=route.stream, epoch=route.epoch, route=route)
        return Renewal.RESTORED

    @precondition(lambda self: self.granted)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        route = data.draw(st.sampled_from(self.granted))
        holder = self.holder(route.stream)
        ours = holder is not None and (
            (holder.claim.owner, holder.epoch) == (route.claim.owner, route.epoch)
        )
        assert self.run(self.world.directory.release(route)) is ours
        if ours:
            del self.held[route.stream]
            self.highest[route.stream] += 1  # no straggling renewal brings it back
            self.expect(EventKind.RELEASED, stream=route.stream, epoch=route.epoch)

    @rule(seconds=st.sampled_from(STEPS_S))
    def time_passes(self, seconds: int) -> None:
        self.run(self.world.advance(seconds, max(self.highest.values(), default=0)))
        self.now += seconds

    @rule()
    def the_table_is_flushed(self) -> None:
        self.run(self.world.flush(max(self.highest.values(), default=0)))
        self.held.clear()
        self.highest.clear()
        self.nodes.clear()

    @rule(
        node=st.sampled_from(NODES),
        state=st.sampled_from(NodeState),
        viewers=st.integers(0, 5),
    )
    def put_node(self, node: NodeId, state: NodeState, viewers: int) -> None:
        record, load = make_node(node, state), make_load(node, viewers)
        before = {record.id: record.state for record, _ in self.alive()}.get(node)
        self.run(self.world.directory.put_node(record, load))
        self.nodes[node] = (record, load, self.now + int(LEASE.ttl_s))
        if state is NodeState.DRAINING and before is not NodeState.DRAINING:
            self.expect(EventKind.DRAINING, node=node)

    @rule(node=st.sampled_from(NODES))
    def remove_node(self, node: NodeId) -> None:
        self.run(self.world.directory.remove_node(node))
        self.nodes.pop(node, None)

    @rule(stream=st.sampled_from(STREAMS))
    def kick(self, stream: StreamKey) -> None:
        self.run(self.world.directory.kick(stream))
        self.expect(EventKind.KICK, stream=stream)

    @rule(stream=st.sampled_from(STREAMS), epoch=st.integers(0, 2**52))
    def suspect(self, stream: StreamKey, epoch: int) -> None:
        self.run(self.world.directory.suspect(stream, epoch))
        self.expect(EventKind.SUSPECT, stream=stream, epoch=epoch)

    @invariant()
    def every_stream_is_found_where_it_is(self) -> None:
        directory = self.world.directory
        for stream in STREAMS:
            assert self.run(directory.lookup(stream)) == self.holder(stream)
        holders = [self.holder(stream) for stream in sorted(STREAMS)]
        assert self.run(directory.routes()) == [route for route in holders if route]

    @invariant()
    def every_living_node_is_listed(self) -> None:
        directory = self.world.directory
        assert self.run(directory.nodes()) == [record for record, _ in self.alive()]
        assert self.run(directory.loads()) == [load for _, load in self.alive()]

    @invariant()
    def every_change_was_announced_once_and_in_order(self) -> None:
        self.run(self.hear_all())
        assert by_stream(self.heard) == by_stream(self.expected)
        self.heard.clear()
        self.expected.clear()

    async def hear_all(self) -> None:
        # What one server announced before this mark is heard before it. In a cluster the mark may
        # come from another node and overtake, so the number that must come is waited for, too.
        mark = StreamKey(f"mark/{uuid.uuid4()}")
        await self.world.directory.kick(mark)
        marked = False
        async with asyncio.timeout(5):
            while not marked or len(self.heard) < len(self.expected):
                event = await anext(self.events)
                if event.stream == mark:
                    marked = True
                else:
                    self.heard.append(event)


def by_stream(events: list[ClusterEvent]) -> list[ClusterEvent]:
    # Order is promised for each stream: in a cluster, different streams live on different nodes.
    return sorted(events, key=lambda event: event.stream or "")


LIMITS = settings(
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def test_the_table_in_memory_does_as_the_model_says() -> None:
    run_state_machine_as_test(lambda: DirectoryModel(MemoryWorld()), settings=LIMITS)


@pytest.mark.integration
def test_the_table_in_redis_does_as_the_model_says(redis_url: str) -> None:
    run_state_machine_as_test(lambda: DirectoryModel(RedisWorld(redis_url)), settings=LIMITS)


@pytest.mark.integration
def test_the_table_in_a_redis_cluster_does_as_the_model_says(redis_cluster_url: str) -> None:
    run_state_machine_as_test(
        lambda: DirectoryModel(RedisWorld(redis_cluster_url, mode="cluster")),
        settings=settings(LIMITS, max_examples=15),
    )
