"""What clients ask for, and what they are given: real connections, a role of a few lines."""

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from common.ids import NodeId, StreamKey
from common.media.packet import Role
from common.metrics import DISCONNECTS, FIRST_FRAME
from common.net import session
from common.net.hello import MAX_HOPS, RelayHello
from common.rtmp.limits import MAX_STREAM_ID
from common.stream.source import StreamSource, is_source
from common.stream.viewer import ViewerKind
from tests.support.rtmp_node import (
    HOST,
    NODE,
    STREAM,
    NetClient,
    Node,
    connected,
    connected_sibling,
    running_node,
)
from tests.support.wait import until
from tests.support.wire import C0C1, C2, PLAY_OBJECT, message

OTHER = StreamKey("live/other")


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    async with running_node() as running:
        yield running


@pytest.fixture
async def client(node: Node) -> AsyncIterator[NetClient]:
    async with connected(node) as connected_client:
        yield connected_client


@pytest.fixture
def short_folder() -> Iterator[Path]:
    # A socket's path must fit into 108 bytes, which pytest's own folders may not.
    with tempfile.TemporaryDirectory(prefix="hw-") as folder:
        yield Path(folder)


# Publishing


async def test_a_publisher_is_handed_to_the_role_and_its_media_too(
    node: Node, client: NetClient
) -> None:
    client.send(C0C1 + C2)
    client.call("connect", 1, PLAY_OBJECT)
    client.call("createStream", 2, None)
    client.call("publish", 3, None, "name", "live", stream_id=1)
    await client.until_code("NetStream.Publish.Start")
    client.send(message(9, b"\x17\x01", stream_id=1))
    (publishing,) = node.role.publishing
    await until(lambda: bool(publishing.messages))
    client.call("FCUnpublish", 4, None, "name")
    await until(lambda: publishing.stopped == ["unpublished"])


async def test_a_publisher_whose_connection_is_lost_has_stopped(
    node: Node, client: NetClient
) -> None:
    client.send(C0C1 + C2)
    client.call("connect", 1, PLAY_OBJECT)
    client.call("publish", 3, None, "name", "live", stream_id=1)
    await client.until_code("NetStream.Publish.Start")
    client.writer.close()
    await until(lambda: [each.stopped for each in node.role.publishing] == [["eof"]])


# Playing


@pytest.mark.parametrize("stream_id", [MAX_STREAM_ID + 1, 2**31])
async def test_a_play_on_an_id_out_of_the_ordinary_is_refused(
    node: Node, client: NetClient, stream_id: int
) -> None:
    # Each id costs a serialisation of its own.
    node.begin_stream()
    client.send(C0C1 + C2)
    client.call("connect", 1, PLAY_OBJECT)
    client.call("play", 0, None, "name", stream_id=stream_id)
    await client.read_to_the_end()
    assert client.codes[-1] == "NetStream.Play.Failed"
    assert not node.stream.viewers


async def new_stream(client: NetClient, transaction: int) -> int:
    """Returns the id that the server gives out."""
    client.call("createStream", transaction, None)
    await client.read_until(lambda: transaction in client.results)
    return int(client.results[transaction])


async def test_a_player_may_make_a_new_stream_for_each_channel_it_changes_to() -> None:
    often: dict[str, object] = {"commands_per_s": 10_000, "command_burst": 100_000}
    async with running_node(rtmp=often) as node, connected(node) as client:
        node.begin_stream()
        client.send(C0C1 + C2)
        client.call("connect", 1, PLAY_OBJECT)
        for number in range(1, 2 * MAX_STREAM_ID):
            client.messages.clear()
            stream_id = await new_stream(client, number)
            client.call("play", 0, None, "name", stream_id=stream_id)
            await client.until_media(b"K1")
            client.call("deleteStream", 0, None, stream_id)


async def test_a_stream_that_is_here_starts_at_once_after_its_answers(
    node: Node, client: NetClient
) -> None:
    node.begin_stream()
    client.ask_to_play()
    await client.until_media(b"K1")
    assert client.media == [b"VH1", b"K1"]
    types = [each.type_id for each in client.messages]
    assert client.codes[-2:] == ["NetStream.Play.Reset", "NetStream.Play.Start"]
    assert max(at for at, kind in enumerate(types) if kind == 20) < types.index(9)
    node.push(Role.FRAME, b"F1")
    await client.until_media(b"F1")
    client.writer.close()
    await until(lambda: node.role.left == 1)
    assert not node.stream.viewers


async def test_a_client_waits_for_a_stream_that_is_coming(node: Node, client: NetClient) -> None:
    node.role.coming[OTHER] = asyncio.get_running_loop().create_future()
    client.ask_to_play("other")
    await until(lambda: bool(node.role.orders))
    stream = node.new_stream(OTHER)
    node.role.coming[OTHER].set_result(stream)
    await client.until_code("NetStream.Play.Start")
    node.push(Role.KEYFRAME, b"K9", stream)
    await client.until_media(b"K9")


async def test_a_client_whose_stream_fails_to_come_by_a_bug_is_closed_and_it_is_logged(
    node: Node,
    client: NetClient,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("common.logs.FloodGate.admit", lambda *_: 0)
    node.role.coming[OTHER] = asyncio.get_running_loop().create_future()
    client.ask_to_play("other")
    await until(lambda: bool(node.role.orders))
    node.role.coming[OTHER].set_exception(ZeroDivisionError("a bug"))
    await client.read_to_the_end()
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


async def test_a_client_that_leaves_while_it_waits_is_forgotten(
    node: Node, client: NetClient
) -> None:
    node.role.coming[OTHER] = asyncio.get_running_loop().create_future()
    client.ask_to_play("other")
    await until(lambda: bool(node.role.orders))
    client.writer.close()
    await until(lambda: not node.connections)
    stream = node.new_stream(OTHER)
    node.role.coming[OTHER].set_result(stream)
    await asyncio.sleep(0)
    assert not stream.viewers


async def test_c65_a_stream_that_nobody_has_is_not_found(client: NetClient) -> None:
    client.ask_to_play("nothing")
    await client.read_to_the_end()
    assert client.codes[-1] == "NetStream.Play.StreamNotFound"


@pytest.mark.parametrize("name", ["", "../other", "a\x00b"])
async def test_a_name_that_is_none_is_refused(client: NetClient, name: str) -> None:
    client.ask_to_play(name)
    await client.read_to_the_end()
    assert client.codes[-1] == "NetStream.Play.StreamNotFound"


async def test_a_second_play_leaves_the_first_stream(node: Node, client: NetClient) -> None:
    other = node.role.streams[OTHER] = node.new_stream(OTHER)
    node.begin_stream()
    node.push(Role.KEYFRAME, b"K9", other)
    client.ask_to_play()
    await client.until_media(b"K1")
    client.call("play", 0, None, "other", stream_id=1)
    await client.until_media(b"K9")
    assert not node.stream.viewers
    assert len(other.viewers) == 1
    assert node.role.left == 1


async def test_the_end_of_a_stream_is_told_and_the_connection_closed(
    node: Node, client: NetClient
) -> None:
    node.begin_stream()
    client.ask_to_play()
    await client.until_media(b"K1")
    node.push(Role.FRAME, b"last")
    node.stream.end("stream_over")
    await client.read_to_the_end()
    assert client.media[-1] == b"last"
    assert client.codes[-1] == "NetStream.Play.UnpublishNotify"
    assert node.role.left == 1


async def test_c67_a_paused_client_gets_nothing_and_goes_on_at_a_keyframe_with_headers(
    node: Node, client: NetClient
) -> None:
    node.begin_stream()
    client.ask_to_play()
    await client.until_media(b"K1")
    client.call("pause", 0, None, True, 0, stream_id=1)
    await client.until_code("NetStream.Pause.Notify")
    node.push(Role.KEYFRAME, b"K2")
    client.call("pause", 0, None, False, 0, stream_id=1)
    await client.until_code("NetStream.Unpause.Notify")
    node.push(Role.FRAME, b"F2")
    node.push(Role.KEYFRAME, b"K3")
    await client.until_media(b"K3")
    assert client.media == [b"VH1", b"K1", b"VH1", b"K3"]


async def test_a_paused_client_hears_of_the_end(node: Node, client: NetClient) -> None:
    node.begin_stream()
    client.ask_to_play()
    await client.until_media(b"K1")
    client.call("pause", 0, None, True, 0, stream_id=1)
    await client.until_code("NetStream.Pause.Notify")
    node.stream.end("stream_over")
    await client.read_to_the_end()
    assert client.codes[-1] == "NetStream.Play.UnpublishNotify"


async def test_video_switched_off_and_on_again_restarts_at_a_keyframe(
    node: Node, client: NetClient
) -> None:
    node.push(Role.AUDIO_HEADER, b"AH1")
    node.begin_stream()
    client.ask_to_play()
    await client.until_media(b"K1")
    client.call("receiveVideo", 0, None, False, stream_id=1)
    await until(lambda: [each.spec.video for each in node.stream.outputs] == [False])
    node.push(Role.FRAME, b"F1")
    node.push(Role.AUDIO, b"A1")
    await client.until_media(b"A1")
    client.call("receiveVideo", 0, None, True, stream_id=1)
    await until(lambda: [each.spec.video for each in node.stream.outputs] == [True])
    node.push(Role.FRAME, b"F2")
    node.push(Role.KEYFRAME, b"K2")
    await client.until_media(b"K2")
    assert client.media[-5:] == [b"AH1", b"A1", b"VH1", b"AH1", b"K2"]


async def test_what_is_asked_for_again_disturbs_nothing(node: Node, client: NetClient) -> None:
    node.begin_stream()
    client.ask_to_play()
    await client.until_media(b"K1")
    client.call("receiveVideo", 0, None, True, stream_id=1)
    await client.until_code("NetStream.Seek.Notify")
    node.push(Role.FRAME, b"F1")
    await client.until_media(b"F1")
    assert client.media == [b"VH1", b"K1", b"F1"]


async def test_a_track_switched_off_before_play_is_off_from_the_start(
    node: Node, client: NetClient
) -> None:
    node.push(Role.AUDIO_HEADER, b"AH1")
    node.begin_stream()
    client.send(C0C1 + C2)
    client.call("connect", 1, PLAY_OBJECT)
    client.call("createStream", 2, None)
    client.call("receiveAudio", 0, None, False, stream_id=1)
    client.call("play", 0, None, "name", stream_id=1)
    await client.until_media(b"K1")
    assert client.media == [b"VH1", b"K1"]


@pytest.mark.parametrize(
    ("before", "meanwhile", "wanted"),
    [(True, False, [b"AH1", b"A1"]), (False, True, [b"VH1", b"AH1", b"K1", b"A1"])],
)
async def test_video_switched_while_the_stream_is_awaited_is_as_it_was_wanted_last(
    node: Node, client: NetClient, before: bool, meanwhile: bool, wanted: list[bytes]
) -> None:
    coming = node.role.coming[STREAM] = asyncio.get_running_loop().create_future()
    del node.role.streams[STREAM]
    client.send(C0C1 + C2)
    client.call("connect", 1, PLAY_OBJECT)
    client.call("createStream", 2, None)
    client.call("receiveVideo", 0, None, before, stream_id=1)
    client.call("play", 0, None, "name", stream_id=1)
    await until(lambda: bool(node.role.orders))
    client.call("receiveVideo", 0, None, meanwhile, stream_id=1)
    (connection,) = node.connections
    await until(lambda: connection.core.wants_video is meanwhile)
    node.push(Role.AUDIO_HEADER, b"AH1")
    node.begin_stream()
    coming.set_result(node.stream)
    await node.until_viewers(1)
    node.push(Role.AUDIO, b"A1")
    await client.until_media(b"A1")
    assert client.media == wanted


async def test_the_first_frame_is_measured_by_where_it_came_from(
    node: Node, client: NetClient
) -> None:
    def count(source: str) -> float:
        samples = next(iter(FIRST_FRAME.collect())).samples
        return next(
            (
                each.value
                for each in samples
                if each.name.endswith("_count") and each.labels["source"] == source
            ),
            0.0,
        )

    cached, pulled = count("cached"), count("pulled")
    node.begin_stream()
    client.ask_to_play()
    await client.until_media(b"K1")
    assert (count("cached"), count("pulled")) == (cached + 1, pulled)
    node.role.coming[OTHER] = asyncio.get_running_loop().create_future()
    node.role.coming[OTHER].set_result(node.new_stream(OTHER))
    client.call("play", 0, None, "other", stream_id=1)
    await until(lambda: node.role.coming[OTHER].result().viewers != {})
    node.push(Role.KEYFRAME, b"K9", node.role.coming[OTHER].result())
    await client.until_media(b"K9")
    assert (count("cached"), count("pulled")) == (cached + 1, pulled + 1)


# What is kept for others who ask the same


@pytest.mark.parametrize("query", ["", "?token=made-up"])
def test_only_what_others_may_ask_for_too_is_kept(query: str) -> None:
    # A client may ask for as many names as it likes, and each may bring a long query.
    session._kept_name.cache_clear()
    for number in range(10):
        asked = ("live", f"kept{number}{query}", "rtmp://host/live", frozenset[str]())
        assert session._resolve(*asked) == session._resolve(*asked)
        assert (session._resolve(*asked) is session._resolve(*asked)) == (not query)
    assert session._kept_name.cache_info().currsize == (0 if query else 10)


def test_long_texts_are_not_kept() -> None:
    long = "x" * (session.MAX_SHARED_CHARS + 1)
    texts, names = session._kept_text.cache_info(), session._kept_name.cache_info()
    assert session._shared(long) == long
    assert session._resolve("live", "name", f"rtmp://{long}/live", frozenset()).key == "live/name"
    assert (session._kept_text.cache_info(), session._kept_name.cache_info()) == (texts, names)


# Relays and siblings


async def test_a_relay_says_who_it_is(node: Node, client: NetClient) -> None:
    hello = RelayHello(node=NodeId("edge-1"), hops=(NodeId("edge-0"), NodeId("edge-1")))
    node.begin_stream()
    client.ask_to_play(**hello.to_properties())
    await client.until_media(b"K1")
    (order,) = node.role.orders
    assert (order.kind, order.hello) == (ViewerKind.RELAY, hello)


async def test_relays_and_siblings_are_told_the_source_and_players_are_not(
    node: Node, client: NetClient, short_folder: Path
) -> None:
    path = short_folder / "worker-0.sock"
    await node.server.listen_siblings(path)
    node.stream.begin_session(StreamSource(session=7))
    node.begin_stream()
    hello = RelayHello(node=NodeId("edge-1"), hops=(NodeId("edge-1"),))
    async with connected(node) as relay, connected_sibling(path) as sibling:
        client.ask_to_play()
        relay.ask_to_play(**hello.to_properties())
        sibling.ask_to_play(**hello.to_properties())
        for each, told in ((client, False), (relay, True), (sibling, True)):
            await each.until_media(b"K1")
            assert any(is_source(message.payload) for message in each.messages) == told


async def test_a_relay_that_would_close_a_loop_is_refused(
    node: Node, client: NetClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, logger="headwater")
    hello = RelayHello(node=NodeId("edge-1"), hops=(NODE, NodeId("edge-1")))
    client.ask_to_play(**hello.to_properties())
    await client.read_to_the_end()
    assert client.codes[-1] == "NetConnection.Connect.Rejected"
    assert "loop" in caplog.text


@pytest.mark.parametrize(
    "value",
    [
        "text",
        {"node": 1, "hops": []},
        {"node": "", "hops": []},
        {"node": "x" * 5000, "hops": []},
        {"node": "edge-1"},
        {"node": "edge-1", "hops": "node-1"},
        {"node": "edge-1", "hops": [1.0]},
        {"node": "edge-1", "hops": [NODE] * (MAX_HOPS + 1)},
    ],
)
async def test_rubbish_in_place_of_hops_makes_a_player_like_any_other(
    node: Node, client: NetClient, value: Any
) -> None:
    node.begin_stream()
    client.ask_to_play(headwater=value)
    await client.until_media(b"K1")
    (order,) = node.role.orders
    assert (order.kind, order.hello) == (ViewerKind.PLAYER, None)


async def test_a_sibling_comes_by_its_own_socket_and_is_no_loop(
    node: Node, short_folder: Path
) -> None:
    path = short_folder / "worker-0.sock"
    path.touch()  # left behind by a worker that was killed
    await node.server.listen_siblings(path)
    node.begin_stream()
    async with connected_sibling(path) as client:
        hello = RelayHello(node=NODE, hops=(NODE,))
        client.ask_to_play(**hello.to_properties())
        await client.until_media(b"K1")
        (connection,) = node.connections
        assert connection.peer == "unix"
        assert list(node.stream.viewers.values()) == [ViewerKind.SIBLING]


# The server


async def test_leaving_the_shared_port_takes_nobody_new_and_keeps_who_is_here(
    node: Node, client: NetClient
) -> None:
    node.begin_stream()
    client.ask_to_play()
    await client.until_media(b"K1")
    own_port = await node.server.listen_tcp(HOST, 0, shared=False)
    node.server.leave_shared_ports()
    with pytest.raises(ConnectionRefusedError):
        async with connected(node):
            pass
    node.push(Role.FRAME, b"F1")
    await client.until_media(b"F1")
    node.port = own_port  # of relays
    async with connected(node) as relay:
        relay.ask_to_play()
        await relay.until_media(b"K1")


async def test_the_port_for_relays_takes_no_publisher(node: Node) -> None:
    node.port = await node.server.listen_tcp(HOST, 0, shared=False)
    async with connected(node) as client:
        client.send(C0C1 + C2)
        client.call("connect", 1, PLAY_OBJECT)
        client.call("createStream", 2, None)
        client.call("publish", 3, None, "name", "live", stream_id=1)
        await client.until_code("NetStream.Publish.Denied")
        await client.read_to_the_end()
    assert not node.role.publishing


async def test_stopping_closes_everybody_at_once(node: Node, client: NetClient) -> None:
    node.begin_stream()
    client.ask_to_play()
    await client.until_media(b"K1")
    await node.server.stop()
    await client.read_to_the_end()
    await until(lambda: not node.connections)


async def test_each_connection_is_counted_once_with_what_it_was(
    node: Node, client: NetClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[tuple[str, str]] = []
    monkeypatch.setattr(DISCONNECTS, "inc", lambda reason, kind: ended.append((kind, reason)))
    node.begin_stream()
    client.ask_to_play()
    await client.until_media(b"K1")
    client.writer.close()
    await until(lambda: not node.connections)
    assert ended == [("player", "eof")]
