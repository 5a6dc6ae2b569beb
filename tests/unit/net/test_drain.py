"""How clients are parted with: real connections, a role of a few lines."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from time import monotonic
from typing import Any

import pytest

from common.config.model import DrainSettings, FanoutSettings
from common.media.packet import Role
from common.net.drain import LAST_BYTES_S, Farewell
from common.net.parting import LINGER_S
from tests.support.rtmp_node import NetClient, Node, connected, connected_sibling, running_node
from tests.support.spine import short_folder
from tests.support.wait import until
from tests.support.wire import C0C1, C2, PLAY_OBJECT, message

RECONNECT = "NetConnection.Connect.ReconnectRequest"
END = "NetStream.Play.UnpublishNotify"
KEYFRAME = b"\x17\x01\x00\x00\x00key"
FRAME = b"\x27\x01\x00\x00\x00frame"
CAN_RECONNECT = {"capsEx": 1.0}

AT_ONCE = DrainSettings(publishers_after_s=0, asked_s=0, viewers_last_s=60)
PATIENT = DrainSettings(publishers_after_s=60, asked_s=60)


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    async with running_node() as running:
        running.begin_stream()
        yield running


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as clients:
        yield clients


def farewell(node: Node, settings: DrainSettings, timeout_s: float = 20) -> Farewell:
    return Farewell(node.services.registry, settings, timeout_s)


async def publisher(node: Node, stack: AsyncExitStack, **properties: Any) -> NetClient:
    client = await stack.enter_async_context(connected(node))
    client.send(C0C1 + C2)
    client.call("connect", 1, PLAY_OBJECT | properties)
    client.call("createStream", 2, None)
    client.call("publish", 3, None, "name", "live", stream_id=1)
    await client.until_code("NetStream.Publish.Start")
    return client


async def player(node: Node, stack: AsyncExitStack, **properties: Any) -> NetClient:
    client = await stack.enter_async_context(connected(node))
    client.ask_to_play(**properties)
    await client.until_media(b"K1")
    return client


def send_video(client: NetClient, payload: bytes) -> None:
    client.send(message(9, payload, stream_id=1))


# Publishers


async def test_c72_only_publishers_that_announced_it_are_asked_to_reconnect(
    node: Node, stack: AsyncExitStack
) -> None:
    able = await publisher(node, stack, **CAN_RECONNECT)
    other = await publisher(node, stack)
    settings = DrainSettings(reconnect_url="rtmp://other:1936", publishers_after_s=60, asked_s=60)
    leaving = asyncio.ensure_future(farewell(node, settings).publishers())
    await able.until_code(RECONNECT)
    assert b"rtmp://other:1936/live" in b"".join(each.payload for each in able.messages)
    able.writer.close()
    await until(lambda: len(node.connections) == 1)
    assert not leaving.done()
    assert RECONNECT not in other.codes
    other.writer.close()
    await asyncio.wait_for(leaving, 10)


async def test_without_an_address_clients_are_asked_to_come_back_to_the_same(
    node: Node, stack: AsyncExitStack
) -> None:
    able = await publisher(node, stack, **CAN_RECONNECT)
    leaving = asyncio.ensure_future(farewell(node, PATIENT).publishers())
    await able.until_code(RECONNECT)
    assert b"tcUrl" not in able.messages[-1].payload
    leaving.cancel()


async def test_a_publisher_is_closed_where_its_next_gop_begins(
    node: Node, stack: AsyncExitStack
) -> None:
    client = await publisher(node, stack)
    leaving = asyncio.ensure_future(farewell(node, AT_ONCE).publishers())
    (kept,) = node.role.publishing
    send_video(client, KEYFRAME)
    await until(lambda: bool(kept.messages) or bool(kept.stopped))
    # It may have come before its turn: what counts is that a frame passes and a keyframe ends it.
    while not kept.stopped:
        send_video(client, FRAME)
        send_video(client, KEYFRAME)
        await asyncio.sleep(0.01)
    assert kept.stopped == ["draining"]
    assert all(each.payload in (KEYFRAME, FRAME) for each in kept.messages)
    assert not kept.messages or kept.messages[-1].payload == FRAME
    await client.read_to_the_end()
    assert client.codes[-1] == "NetStream.Publish.Start"  # encoders give up after an error
    client.writer.close()
    await asyncio.wait_for(leaving, 10)


async def test_a_publisher_whose_keyframe_does_not_come_is_closed_without_one(
    node: Node, stack: AsyncExitStack
) -> None:
    client = await publisher(node, stack)
    settings = AT_ONCE.model_copy(update={"keyframe_wait_s": 0.05})
    leaving = asyncio.ensure_future(farewell(node, settings).publishers())
    await client.read_to_the_end()
    client.writer.close()
    await asyncio.wait_for(leaving, 10)


async def test_one_that_was_asked_and_stays_is_closed_too(
    node: Node, stack: AsyncExitStack
) -> None:
    client = await publisher(node, stack, **CAN_RECONNECT)
    settings = AT_ONCE.model_copy(update={"keyframe_wait_s": 0.05})
    leaving = asyncio.ensure_future(farewell(node, settings).publishers())
    await client.read_to_the_end()
    assert RECONNECT in client.codes
    client.writer.close()
    await asyncio.wait_for(leaving, 10)


async def test_standbys_are_closed_before_all_publishers_and_wait_for_no_keyframe(
    node: Node, stack: AsyncExitStack
) -> None:
    first = await publisher(node, stack)
    standbys = [await publisher(node, stack) for _ in range(2)]
    able = await publisher(node, stack, **CAN_RECONNECT)
    for kept in node.role.publishing[1:]:
        kept.stands_by = True
    settings = PATIENT.model_copy(update={"publishers_after_s": 1.0})
    leaving = asyncio.ensure_future(farewell(node, settings).publishers())
    for each in standbys:
        await each.read_to_the_end()
        assert each.codes[-1] == "NetStream.Publish.Start"  # encoders give up after an error
        each.writer.close()
    await able.until_code(RECONNECT)
    active, *waiting, asked = node.role.publishing
    assert [kept.stopped for kept in waiting] == [["draining"], ["draining"]]
    assert active.stopped == asked.stopped == []
    first.writer.close()
    await until(lambda: bool(active.stopped))
    assert not leaving.done()  # one that was asked is waited for like any other
    able.writer.close()
    await asyncio.wait_for(leaving, 10)


async def test_standby_that_was_asked_and_stays_is_closed_too(
    node: Node, stack: AsyncExitStack
) -> None:
    client = await publisher(node, stack, **CAN_RECONNECT)
    node.role.publishing[0].stands_by = True
    settings = AT_ONCE.model_copy(update={"keyframe_wait_s": 0.05})
    leaving = asyncio.ensure_future(farewell(node, settings).publishers())
    await client.read_to_the_end()
    assert RECONNECT in client.codes
    client.writer.close()
    await asyncio.wait_for(leaving, 10)


async def test_publishers_are_not_all_closed_at_once(node: Node, stack: AsyncExitStack) -> None:
    for _ in range(4):
        await publisher(node, stack)
    settings = AT_ONCE.model_copy(update={"keyframe_wait_s": 0.001, "per_second": 20.0})
    began = monotonic()
    leaving = asyncio.ensure_future(farewell(node, settings).publishers())
    await until(lambda: all(kept.stopped for kept in node.role.publishing))
    assert monotonic() - began > 0.14  # three pauses of 50 ms
    leaving.cancel()


async def test_many_publishers_are_closed_in_time_all_the_same(
    node: Node, stack: AsyncExitStack
) -> None:
    for _ in range(6):
        await publisher(node, stack)
    settings = AT_ONCE.model_copy(update={"per_second": 0.1})
    leaving = asyncio.ensure_future(farewell(node, settings, timeout_s=0.6).publishers())
    await until(lambda: all(kept.stopped for kept in node.role.publishing))
    await asyncio.wait_for(leaving, 10)


async def test_nobody_begins_to_publish_at_a_worker_that_leaves(
    node: Node, stack: AsyncExitStack
) -> None:
    client = await stack.enter_async_context(connected(node))
    client.send(C0C1 + C2)
    client.call("connect", 1, PLAY_OBJECT)
    await client.until_code("NetConnection.Connect.Success")
    await farewell(node, PATIENT).publishers()
    client.call("createStream", 2, None)
    client.call("publish", 3, None, "name", "live", stream_id=1)
    await client.read_to_the_end()
    assert node.role.publishing == []
    assert client.codes == ["NetConnection.Connect.Success"]


async def test_relays_keep_nobody_waiting_and_are_left_alone(
    node: Node, stack: AsyncExitStack
) -> None:
    relay = await player(node, stack, headwater={"v": 1, "node": "e", "hops": ["e"]}, capsEx=1.0)
    await asyncio.wait_for(farewell(node, AT_ONCE).publishers(), 10)
    node.push(Role.FRAME, b"F1")
    await relay.until_media(b"F1")
    assert RECONNECT not in relay.codes


async def test_a_farewell_to_publishers_ends_at_its_deadline(
    node: Node, stack: AsyncExitStack
) -> None:
    await publisher(node, stack)
    began = monotonic()
    await asyncio.wait_for(farewell(node, PATIENT, timeout_s=0.2).publishers(), 10)
    assert monotonic() - began > 0.19  # timers are in whole milliseconds


# Viewers


async def test_viewers_that_can_are_asked_and_the_rest_stays(
    node: Node, stack: AsyncExitStack
) -> None:
    able = await player(node, stack, **CAN_RECONNECT)
    other = await player(node, stack)
    leaving = asyncio.ensure_future(farewell(node, DrainSettings()).viewers())
    await able.until_code(RECONNECT)
    node.push(Role.FRAME, b"F1")
    await other.until_media(b"F1")
    assert RECONNECT not in other.codes
    able.writer.close()
    other.writer.close()
    await asyncio.wait_for(leaving, 10)


async def test_viewers_are_closed_before_the_deadline_and_not_told_an_end(
    node: Node, stack: AsyncExitStack
) -> None:
    client = await player(node, stack)
    leaving = asyncio.ensure_future(farewell(node, AT_ONCE, timeout_s=0.4).viewers())
    await client.read_to_the_end()
    assert END not in client.codes
    client.writer.close()
    await asyncio.wait_for(leaving, 10)


async def test_siblings_are_served_until_they_leave(node: Node, stack: AsyncExitStack) -> None:
    path = stack.enter_context(short_folder()) / "worker-0.sock"
    await node.server.listen_siblings(path)
    sibling = await stack.enter_async_context(connected_sibling(path))
    sibling.ask_to_play()
    await sibling.until_media(b"K1")
    leaving = asyncio.ensure_future(farewell(node, AT_ONCE, timeout_s=20).viewers())
    node.push(Role.FRAME, b"F1")
    await sibling.until_media(b"F1")
    assert not leaving.done()
    sibling.writer.close()
    await asyncio.wait_for(leaving, 10)


def test_who_is_closed_last_has_time_to_take_the_rest() -> None:
    assert FanoutSettings().lag_limit_ms / 1000 + LINGER_S <= LAST_BYTES_S
