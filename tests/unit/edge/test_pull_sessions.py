"""One publish session by several ways, each at a clock of its own. Sources are real RTMP servers.

The frames of a session are named alike wherever they come from, so what viewers have can be checked
frame by frame.
"""

from dataclasses import replace

from common.media.recent import ResumePoint
from common.net.roles import PlayOrder
from common.stream.viewer import ViewerKind
from edge.pull import PullState
from tests.support.edge_worker import Edge, ends_with, order
from tests.support.sources import Recorder, Source
from tests.support.spine import STREAM, frame_name, make_frames, turns
from tests.support.wait import until
from tests.unit.edge.test_pull_siblings import OTHER, members_owned_by

SESSION = 7


def frames(until_number: int) -> list[str]:
    return [f"a-{number}" for number in range(until_number)]


def at(number: int) -> ResumePoint:
    """Return where a frame of the session is."""
    return ResumePoint(session=SESSION, type_id=9, track=0, time_ms=40 * number)


def said(asked: PlayOrder) -> ResumePoint | None:
    """Return from where a relay wanted the stream."""
    assert asked.hello is not None
    return asked.hello.since


def assert_whole(recorder: Recorder, count: int) -> None:
    """Check that a viewer has each frame once, in order and in time, and the headers once."""
    assert recorder.frames == frames(count)
    assert recorder.times == [40 * number for number in range(count)]
    assert len(recorder.messages) == count + 2
    assert not recorder.ended


def send(source: Source, first: int, end: int) -> None:
    """Send frames of the session; each fifth is a keyframe, wherever one begins."""
    source.send_tags(make_frames("a", end)[first:])


async def serving(edge: Edge, slot: int | None, count: int, offset_ms: int = 0) -> Source:
    """Have an origin worker (without ``slot``) or a sibling that serves the session."""
    source = await edge.source(slot)
    source.begin(SESSION, offset_ms=offset_ms)
    send(source, 0, count)
    return source


async def test_owner_of_the_pull_that_dies_is_replaced_without_a_seam(edge: Edge) -> None:
    sibling = await serving(edge, OTHER, 7, offset_ms=123_456)
    edge.streams.members_changed(members_owned_by(OTHER))
    recorder = Recorder(await edge.streams.acquire(order()))
    send(sibling, 7, 8)
    await until(ends_with(recorder, "a-7"))
    origin = await serving(edge, None, 9)
    await edge.claim(origin)
    await sibling.kill()
    await until(lambda: edge.pull().state is PullState.LOST)
    edge.streams.members_changed(frozenset({0}))
    await until(ends_with(recorder, "a-8"))
    send(origin, 9, 12)
    await until(ends_with(recorder, "a-11"))
    # It came when the GOP of frame 5 was cached.
    assert recorder.frames == frames(12)[5:]
    assert recorder.times == [40 * number for number in range(5, 12)]
    assert len(recorder.messages) == 7 + 2


async def test_pull_that_changes_hands_and_comes_back_leaves_no_trace(edge: Edge) -> None:
    origin = await serving(edge, None, 1)
    await edge.claim(origin)
    recorder = Recorder(await edge.streams.acquire(order()))
    send(origin, 1, 3)
    await until(ends_with(recorder, "a-2"))
    sibling = await serving(edge, OTHER, 4, offset_ms=-1 & 0xFFFFFFFF)  # 1 ms behind
    edge.streams.members_changed(members_owned_by(OTHER))
    await until(ends_with(recorder, "a-3"))
    await until(lambda: not origin.relays)
    send(origin, 3, 7)
    edge.streams.members_changed(frozenset({0}))
    await until(lambda: bool(origin.relays))
    send(origin, 7, 9)
    await until(ends_with(recorder, "a-8"))
    await until(lambda: not sibling.connections)
    assert_whole(recorder, 9)  # frame 4 too, of a GOP that is over


async def test_slower_way_is_waited_for_without_a_repeat(edge: Edge) -> None:
    origin = await serving(edge, None, 1)
    await edge.claim(origin)
    recorder = Recorder(await edge.streams.acquire(order()))
    send(origin, 1, 8)
    await until(ends_with(recorder, "a-7"))
    sibling = await serving(edge, OTHER, 4, offset_ms=500)
    edge.streams.members_changed(members_owned_by(OTHER))
    await until(lambda: sibling.relays == 1)
    for number in range(4, 10):
        send(sibling, number, number + 1)
        await turns()
    await until(ends_with(recorder, "a-9"))
    assert_whole(recorder, 10)


async def test_worker_that_goes_direct_goes_on_exactly(edge: Edge) -> None:
    sibling = await serving(edge, OTHER, 1, offset_ms=4_000)
    edge.streams.members_changed(members_owned_by(OTHER))
    recorder = Recorder(await edge.streams.acquire(order()))
    send(sibling, 1, 3)
    await until(ends_with(recorder, "a-2"))
    origin = await serving(edge, None, 4)
    await edge.claim(origin)
    live = edge.streams.find(order(kind=ViewerKind.SIBLING, hops=(edge.context.node,)))
    assert live is not None
    await until(ends_with(recorder, "a-3"))
    assert_whole(recorder, 4)


async def test_cut_relay_repeats_neither_frames_nor_headers(edge: Edge) -> None:
    origin = await serving(edge, None, 1)
    await edge.claim(origin)
    recorder = Recorder(await edge.streams.acquire(order()))
    for number in range(1, 12):
        for connection in origin.connections:
            connection.abort("cut")
        await until(lambda: not origin.relays)
        send(origin, number, number + 1)
        await until(ends_with(recorder, f"a-{number}"))
    assert_whole(recorder, 12)


async def test_what_was_sent_while_a_relay_was_cut_is_not_lost_with_its_gop(edge: Edge) -> None:
    origin = await serving(edge, None, 1)
    await edge.claim(origin)
    recorder = Recorder(await edge.streams.acquire(order()))
    send(origin, 1, 4)
    await until(ends_with(recorder, "a-3"))
    for connection in origin.connections:
        connection.abort("cut")
    send(origin, 4, 12)  # before the relay is back: the loop has not turned
    await until(ends_with(recorder, "a-11"))
    assert_whole(recorder, 12)
    assert said(origin.orders[0]) is None  # a first pull asks for nothing
    assert said(origin.orders[1]) == at(3)


async def test_worker_that_begins_for_one_who_was_cut_pulls_what_that_one_misses(
    edge: Edge,
) -> None:
    """The owner of a pull has died and is back, its siblings return to it."""
    origin = await serving(edge, None, 12)
    await edge.claim(origin)
    asking = order(kind=ViewerKind.SIBLING, hops=(edge.context.node,), since=at(3))
    recorder = Recorder(await edge.streams.acquire(asking))
    await until(ends_with(recorder, "a-11"))
    assert said(origin.orders[0]) == replace(at(3), whole_gop=True)
    missed = edge.pull().live.recent.since(at(3), 0)
    assert missed is not None
    assert [frame_name(each.payload) for each in missed] == frames(12)[3:]
    # From now on it has the stream itself.
    for connection in origin.connections:
        connection.abort("cut")
    await until(lambda: len(origin.orders) == 2)
    assert said(origin.orders[1]) == at(11)


async def test_other_publisher_at_the_same_origin_is_followed_in_band(edge: Edge) -> None:
    origin = await serving(edge, None, 1)
    await edge.claim(origin)
    recorder = Recorder(await edge.streams.acquire(order()))
    send(origin, 1, 5)
    origin.begin(SESSION + 1)
    await edge.claim(origin)
    send(origin, 5, 8)
    await until(ends_with(recorder, "a-7"))
    # The relay is cut: the session that is known again is the second one.
    for connection in origin.connections:
        connection.abort("cut")
    await until(lambda: not origin.relays)
    send(origin, 8, 9)
    await until(ends_with(recorder, "a-8"))
    assert_whole(recorder, 9)


async def test_session_that_moved_keeps_its_place_by_every_way(edge: Edge) -> None:
    """After another session, the stream's clock here is not the origin's any more."""
    former = await serving(edge, None, 0)
    former.begin(SESSION - 1)
    former.send_tags(make_frames("z", 1))
    await edge.claim(former)
    recorder = Recorder(await edge.streams.acquire(order()))
    origin = await serving(edge, None, 2, offset_ms=0)
    await edge.claim(origin)
    await until(ends_with(recorder, "a-1"))
    sibling = await serving(edge, OTHER, 4, offset_ms=777)
    edge.streams.members_changed(members_owned_by(OTHER))
    await until(ends_with(recorder, "a-3"))
    assert recorder.frames == ["z-0", *frames(4)]
    assert recorder.times == [0, 40, 80, 120, 160]
    assert len(recorder.messages) == 5 + 2
    # And those who relay from here are told the clock of this worker.
    live = edge.streams.find(order())
    assert live is not None
    assert live.source is not None
    assert (live.source.session, live.source.offset_ms) == (SESSION, 40)
    assert STREAM in sibling.streams
