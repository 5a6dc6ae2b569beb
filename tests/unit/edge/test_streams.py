"""The streams of a worker: found, shared, lingering, limited. Sources are real RTMP servers."""

import asyncio

import pytest

from common.errors import RelayError, StreamNotFound
from common.ids import StreamKey
from common.stream.viewer import ViewerKind
from edge.pull import PullState
from tests.support.edge_worker import Edge, ends_with, order, streaming, with_edge
from tests.support.logged import logged
from tests.support.spine import STREAM, make_headers, turns
from tests.support.wait import until


async def test_viewer_starts_with_headers_and_the_gop(edge: Edge) -> None:
    _, recorder = await streaming(edge)
    assert [each.payload for each in recorder.messages[:2]] == [
        tag.payload for tag in make_headers()
    ]
    assert recorder.frames == [f"a-{number}" for number in range(5)]
    assert edge.pull().state is PullState.STREAMING
    assert edge.streams.find(order()) is edge.pull().live


async def test_viewers_share_one_pull(edge: Edge) -> None:
    source = await edge.source()
    await edge.claim(source)
    source.send("a", 5)
    streams = await asyncio.gather(*[edge.streams.acquire(order()) for _ in range(100)])
    assert len(set(map(id, streams))) == 1
    assert source.relays == len(source.orders) == 1
    assert edge.directory.calls["lookup"] == 1


async def test_dead_name_costs_one_lookup_per_period_for_ten_thousand_viewers(edge: Edge) -> None:
    began = asyncio.get_running_loop().time()
    asked = [edge.streams.acquire(order()) for _ in range(10_000)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    took = asyncio.get_running_loop().time() - began
    assert {type(answer) for answer in answers} == {StreamNotFound}
    assert took >= edge.settings.edge.hold_s
    periods = took / edge.settings.edge.negative_cache_s
    assert edge.directory.calls["lookup"] <= periods + 1


@with_edge(hold_s=0.001, negative_cache_s=60)
async def test_viewers_of_a_dead_name_one_after_another_cost_one_lookup(edge: Edge) -> None:
    for _ in range(20):
        with pytest.raises(StreamNotFound):
            await edge.streams.acquire(order())
        await turns()
    assert edge.directory.calls["lookup"] == 1
    assert not edge.streams._running


@with_edge(hold_s=10, negative_cache_s=10)
async def test_announcement_ends_the_hold_at_once(edge: Edge) -> None:
    waiting = asyncio.ensure_future(edge.watch())
    await until(lambda: edge.directory.calls["lookup"] == 1)
    source = await edge.source()
    source.send("a", 1)
    await edge.claim(source)
    async with asyncio.timeout(1):
        recorder = await waiting
    await until(ends_with(recorder, "a-0"))


async def test_pull_lingers_after_its_last_viewer_then_ends(edge: Edge) -> None:
    source, recorder = await streaming(edge)
    recorder.leave()
    edge.streams.viewer_left(edge.pull().live)
    await turns()
    assert source.relays == 1
    await until(lambda: not edge.streams._running)
    await until(lambda: not source.connections)


@with_edge(linger_s=60)
async def test_edge_that_leaves_lets_no_pull_linger(edge: Edge) -> None:
    source, staying = await streaming(edge)
    other = StreamKey("live/other")
    await edge.claim(source, stream=other)
    source.send("b", 5, stream=other)
    edge.streams.viewer_left(await edge.streams.acquire(order(other)))
    edge.streams.stop_lingering()
    await until(lambda: list(edge.streams._entries) == [STREAM])
    staying.leave()
    edge.streams.viewer_left(edge.pull().live)
    await until(lambda: not edge.streams._running)


@with_edge(linger_s=60)
@pytest.mark.parametrize("leaves", ["before it is asked", "while somebody waits"])
async def test_who_waits_for_an_edge_that_leaves_gets_the_stream(edge: Edge, leaves: str) -> None:
    """A picture that stands still is worse than a refusal: no player would go elsewhere."""
    source = await edge.source()
    source.send("a", 5)
    if leaves == "before it is asked":
        await edge.claim(source)
        edge.streams.stop_lingering()
        recorder = await edge.watch()
    else:
        watching = asyncio.ensure_future(edge.watch())
        await until(lambda: edge.directory.calls["lookup"] == 1)
        edge.streams.stop_lingering()
        await edge.claim(source)
        recorder = await watching
    source.send("b", 5, first=5)
    await until(ends_with(recorder, "b-9"))
    recorder.leave()
    edge.streams.viewer_left(edge.pull().live)
    await until(lambda: not edge.streams._running)


@with_edge(linger_s=60, hold_s=60)
async def test_edge_that_leaves_waits_for_no_stream_that_nobody_waits_for(edge: Edge) -> None:
    edge.streams.stop_lingering()
    watching = asyncio.ensure_future(edge.watch())
    await until(lambda: edge.directory.calls["lookup"] == 1)
    watching.cancel()
    await until(lambda: not edge.streams._running)


async def test_viewer_that_returns_within_the_linger_finds_the_stream_and_it_lingers_anew(
    edge: Edge,
) -> None:
    source, recorder = await streaming(edge)
    loop = asyncio.get_running_loop()
    linger_s = edge.settings.edge.linger_s
    recorder.leave()
    edge.streams.viewer_left(edge.pull().live)
    await asyncio.sleep(linger_s * 0.7)  # the time itself is what is tested
    again = await edge.watch()
    again.leave()
    edge.streams.viewer_left(edge.pull().live)
    left_at = loop.time()
    await until(lambda: not edge.streams._running)
    assert loop.time() - left_at > linger_s * 0.9
    assert len(source.orders) == 1


async def test_viewer_that_comes_while_the_pull_ends_gets_a_new_one(edge: Edge) -> None:
    source, recorder = await streaming(edge)
    recorder.leave()
    ending = edge.streams._entries[STREAM]
    edge.streams._end_if_unused(ending)
    # The task has not noticed yet; others are refused in this state by other servers.
    assert not ending.task.done()
    assert edge.streams.find(order()) is None
    again = await edge.watch()
    await until(ends_with(again, "a-4"))
    assert ending.task.done()
    assert edge.pull() is not ending.pull
    # And it is the new one that hears announcements.
    other = await edge.source()
    other.send("b", 5)
    await edge.claim(other)
    await until(ends_with(again, "b-4"))
    assert not source.relays


async def test_who_waits_does_not_join_a_pull_that_is_over_a_turn_after_its_media(
    edge: Edge,
) -> None:
    source = await edge.source()
    await edge.claim(source)
    watching = asyncio.ensure_future(edge.watch())
    await until(lambda: bool(source.orders))
    pull = edge.pull()
    pull.ready.add_done_callback(lambda _: pull._give_up())
    source.send("a", 5)
    with pytest.raises(StreamNotFound):
        await watching


async def test_pull_whose_viewers_left_before_it_ran_ends_too(edge: Edge) -> None:
    source = await edge.source()
    await edge.claim(source)
    waiting = asyncio.ensure_future(edge.watch())
    await until(lambda: bool(source.orders))
    waiting.cancel()
    source.send("a", 5)
    await until(lambda: not edge.streams._running)


@with_edge(max_streams=2, hold_s=10)
async def test_streams_of_a_worker_are_limited(edge: Edge) -> None:
    waiting = [
        asyncio.ensure_future(edge.streams.acquire(order(f"live/{number}"))) for number in range(2)
    ]
    await turns()
    with pytest.raises(RelayError, match="too_many_streams"):
        await edge.streams.acquire(order("live/3"))
    assert not any(each.done() for each in waiting)
    await edge.streams.close()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(answer) for answer in answers} == {StreamNotFound}


async def test_hops_are_limited_and_those_of_this_node_added(edge: Edge) -> None:
    limit = edge.settings.relay.hop_limit
    too_far = tuple(f"edge-{number}" for number in range(10, 10 + limit))
    with pytest.raises(RelayError, match="too_many_hops"):
        await edge.streams.acquire(order(kind=ViewerKind.RELAY, hops=too_far))
    source = await edge.source()
    source.send("a", 1)
    await edge.claim(source)
    await edge.streams.acquire(order(kind=ViewerKind.RELAY, hops=too_far[1:]))
    assert source.orders[0].hello is not None
    assert source.orders[0].hello.hops == (*too_far[1:], edge.context.node)


async def test_stream_is_not_relayed_back_to_where_it_comes_from(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    source = await edge.source()
    source.send("a", 1)
    route = await edge.claim(source)
    back = edge.context.node, route.claim.node
    loop = order(kind=ViewerKind.RELAY, hops=("edge-9", route.claim.node))
    with pytest.raises(RelayError, match="relay_loop"):
        await edge.streams.acquire(loop)
    assert f'hops="{" -> ".join(("edge-9", route.claim.node, *back))}"' in logged(caplog)
    await edge.watch()
    assert edge.streams.find(loop) is None, "nor is a pull joined that runs for others"
    with pytest.raises(RelayError, match="relay_loop"):
        await edge.streams.acquire(loop)
    await edge.streams.acquire(order(kind=ViewerKind.RELAY, hops=("edge-9",)))


async def test_bytes_are_counted_while_relays_run_and_never_go_back(edge: Edge) -> None:
    _, recorder = await streaming(edge)
    running = edge.streams.bytes_in
    assert running > 0
    recorder.leave()
    ending = edge.streams._entries[STREAM]
    edge.streams._end_if_unused(ending)
    again = await edge.watch()
    assert edge.streams.bytes_in > running
    again.leave()
    edge.streams.measure()
