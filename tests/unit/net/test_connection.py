"""Real connections on loopback: how they begin, how they end, and what a bad one costs others."""

import asyncio
import errno
import logging
import socket
import struct
from contextlib import AsyncExitStack
from typing import cast

import pytest

from common.ids import StreamKey
from common.media.packet import Role
from common.net.connection import RtmpConnection
from common.net.parting import Parting
from tests.support.rtmp_node import HOST, NetClient, Node, connected, running_node
from tests.support.wait import until
from tests.support.wire import C0C1, C2, PLAY_OBJECT, message


def reasons(caplog: pytest.LogCaptureFixture) -> list[object]:
    """Returns the reasons that were logged."""
    fields = [getattr(record, "fields", {}) for record in caplog.records]
    return [each["reason"] for each in fields if "reason" in each]


@pytest.fixture(autouse=True)
def _log_all(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level(logging.INFO, logger="headwater")
    monkeypatch.setattr("common.logs.FloodGate.admit", lambda *_: 0)


# Conformance 7 and 8: what is no RTMP, and what never gets there.


@pytest.mark.parametrize(
    ("first_bytes", "reason"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00", "not_rtmp_tls"),
        (b"GET / HTTP/1.1\r\n\r\n", "not_rtmp_http"),
        (b"\x06" + bytes(1536), "rtmpe"),
    ],
)
async def test_c7_what_is_no_rtmp_is_closed_with_a_reason_in_the_log(
    first_bytes: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_node() as node, connected(node) as client:
        client.send(first_bytes)
        await client.read_to_the_end()
        assert reasons(caplog) == [reason]


@pytest.mark.parametrize(
    ("said", "limit", "reason"),
    [
        (b"", "handshake_timeout_s", "handshake_timeout"),
        (C0C1, "handshake_timeout_s", "handshake_timeout"),
        (C0C1 + C2, "connect_timeout_s", "connect_timeout"),
    ],
)
async def test_c8_a_client_that_stalls_is_closed_at_the_deadline(
    said: bytes, limit: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_node(rtmp={limit: 0.2}) as node, connected(node) as client:
        client.send(said)
        await client.read_to_the_end()
        assert reasons(caplog) == [reason]


async def test_a_deadline_that_moves_earlier_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    async with running_node(rtmp={"request_timeout_s": 0.2}) as node, connected(node) as client:
        client.send(C0C1 + C2)
        client.call("connect", 1, PLAY_OBJECT)
        await client.read_to_the_end()
        assert reasons(caplog) == ["request_timeout"]


# Ends


async def test_a_client_that_reads_late_still_gets_the_error() -> None:
    async with running_node() as node, connected(node) as client:
        client.ask_to_play("nothing")
        await until(lambda: bool(node.role.orders))
        # What the server has not read when it closes would make the kernel send a reset.
        for _ in range(50):
            client.send(message(9, bytes(1000)))
            await asyncio.sleep(0)
        await client.read_to_the_end()
        assert client.codes[-1] == "NetStream.Play.StreamNotFound"


async def test_a_client_that_floods_after_the_end_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("common.net.parting.MAX_LINGER_BYTES", 100_000)
    monkeypatch.setattr("common.net.parting.LINGER_S", 60.0)
    async with running_node() as node, connected(node) as client:
        client.send(b"GET / HTTP/1.1\r\n")
        await until(lambda: node.services.registry.bytes_in > 0)
        client.send(bytes(1_000_000))
        await until(lambda: not node.connections)


async def test_a_peer_that_never_closes_is_closed_after_the_linger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("common.net.parting.LINGER_S", 0.1)
    async with running_node() as node, connected(node) as client:
        client.send(b"GET / HTTP/1.1\r\n")
        await until(lambda: node.services.registry.bytes_in > 0)
        await until(lambda: not node.connections)


async def fall_behind(node: Node, client: NetClient) -> RtmpConnection:
    """Plays and does not read, until the server holds some of the stream for it."""
    node.begin_stream()
    client.ask_to_play()
    await node.until_viewers(1)
    (connection,) = node.connections
    while not connection.congested:
        node.push(Role.FRAME, b"F" + bytes(50_000))
        await asyncio.sleep(0)
    for _ in range(10):
        node.push(Role.FRAME, b"F" + bytes(50_000))
    return connection


async def test_a_viewer_that_ends_its_side_and_reads_nothing_is_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("common.net.parting.LINGER_S", 0.1)
    async with running_node() as node, connected(node, receive_bytes=4096) as client:
        await fall_behind(node, client)
        client.writer.write_eof()
        await until(lambda: not node.connections)


async def test_a_viewer_that_is_behind_gets_the_rest_and_the_end_notice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("common.net.parting.LINGER_S", 0.25)
    looks: list[float] = []
    original = Parting._look

    def look(parting: Parting) -> None:
        original(parting)
        looks.append(asyncio.get_running_loop().time())

    monkeypatch.setattr(Parting, "_look", look)
    fanout: dict[str, object] = {"lag_limit_ms": 60_000}
    async with (
        running_node(fanout=fanout) as node,
        connected(node, receive_bytes=4096) as slow,
    ):
        connection = await fall_behind(node, slow)
        node.push(Role.FRAME, b"last")
        node.stream.end("stream_over")
        for seen in range(3):  # a little of it between any two looks
            unsent = connection.transport.get_write_buffer_size()
            while connection.transport.get_write_buffer_size() == unsent:
                await slow.read()
            await until(lambda seen=seen: len(looks) > seen)
        assert connection.transport.get_write_buffer_size()
        await slow.read_to_the_end()
        assert slow.media[-1] == b"last"
        assert slow.codes[-1] == "NetStream.Play.UnpublishNotify"


# Clients that take nothing, and are sent nothing more: the fan-out does not see them.

IMPATIENT: dict[str, object] = {"lag_limit_ms": 100, "kick_after_s": 0.1}


@pytest.mark.parametrize(
    "said", [("pause", None, True, 0), ("closeStream", None), ("play", None, "nothing-yet")]
)
async def test_a_viewer_that_asks_for_nothing_more_must_take_what_it_was_sent(
    said: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        running_node(fanout=IMPATIENT) as node,
        connected(node, receive_bytes=4096) as slow,
    ):
        node.role.coming[StreamKey("live/nothing-yet")] = asyncio.Future()
        await fall_behind(node, slow)
        slow.call(said[0], 0, *said[1:], stream_id=1)
        await until(lambda: not node.connections)
        assert reasons(caplog)[-1] == "too_slow"


async def test_a_viewer_that_plays_again_and_again_gets_no_more_time_by_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    often: dict[str, object] = {"commands_per_s": 10_000, "command_burst": 100_000}
    async with (
        running_node(fanout=IMPATIENT, rtmp=often) as node,
        connected(node, receive_bytes=4096) as slow,
    ):
        await fall_behind(node, slow)
        async with asyncio.timeout(20):
            while node.connections:
                slow.call("play", 0, None, "name", stream_id=1)
                await asyncio.sleep(0.001)
        assert reasons(caplog)[-1] == "too_slow"


async def test_a_viewer_that_pauses_and_takes_the_rest_stays() -> None:
    fanout: dict[str, object] = {"lag_limit_ms": 100, "kick_after_s": 3600}
    async with (
        running_node(fanout=fanout) as node,
        connected(node, receive_bytes=4096) as slow,
    ):
        connection = await fall_behind(node, slow)
        slow.call("pause", 0, None, True, 0, stream_id=1)
        await until(lambda: connection._session._unfed_since is not None)
        while connection.congested:
            await slow.read()
        assert connection._session._unfed_since is None
        connection.check_deadline(node.services.now() + 2 * 3600)
        assert node.connections == [connection]


async def test_a_viewer_that_is_a_little_behind_all_the_time_stays() -> None:
    async with running_node() as node, connected(node, receive_bytes=4096) as slow:
        connection = await fall_behind(node, slow)
        for after_s in (5, 30, 55):  # then it would be pinged
            connection.check_deadline(node.services.now() + after_s)
        assert node.connections == [connection]


async def test_a_client_that_asks_but_never_reads_answers_is_closed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("common.net.connection.MAX_UNREAD_REPLIES", 10_000)
    limits: dict[str, object] = {"commands_per_s": 10_000, "command_burst": 100_000}
    async with (
        running_node(rtmp=limits, fanout={"unsent_bytes": 16_384}) as node,
        connected(node, receive_bytes=2048) as client,
    ):
        client.send(C0C1 + C2)
        client.call("connect", 1, PLAY_OBJECT)
        # Few commands may run ahead of the answer to connect, and more than those are to come.
        await client.until_code("NetConnection.Connect.Success")
        while not reasons(caplog):
            for _ in range(500):
                client.call("FCPublish", 3, None, "name")  # a question with a long answer
            await asyncio.sleep(0.001)
        assert reasons(caplog) == ["replies_unread"]
        await until(lambda: not node.connections)


# One connection and the others


async def test_a_client_that_is_dear_to_read_leaves_the_loop_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("common.net.connection.MAX_READ_S", 0.0)
    async with running_node() as node, connected(node) as client:
        rests: list[float] = []
        original = RtmpConnection._rest

        def rest(connection: RtmpConnection, pause_s: float) -> None:
            rests.append(pause_s)
            original(connection, 0.01)
            assert not connection.transport.is_reading()

        monkeypatch.setattr(RtmpConnection, "_rest", rest)
        node.begin_stream()
        await play(node, client)  # every read was followed by a rest, and by the next read
        assert rests


async def test_a_read_in_which_the_process_was_stopped_is_followed_by_a_short_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("common.net.connection.MAX_READ_S", -1.0)  # each read seems too long …
    monkeypatch.setattr("common.net.connection.MAX_REST_S", -2.0)  # … and rests for so long at most
    rests: list[float] = []
    monkeypatch.setattr(RtmpConnection, "_rest", lambda _, pause_s: rests.append(pause_s))
    async with running_node() as node, connected(node) as client:
        client.send(C0C1 + C2)
        await until(lambda: bool(rests))
    assert set(rests) == {-2.0}


async def test_a_rest_does_not_end_the_pause_of_somebody_else() -> None:
    # An origin that has slept keeps its publishers unread until it knows what it still owns.
    async with running_node() as node, connected(node):
        await until(lambda: bool(node.connections))
        (connection,) = node.connections
        connection.pause_reading()
        connection._rest(0.0)
        await until(lambda: connection._reading_pauses == 1)
        assert not connection.transport.is_reading()
        connection.resume_reading()
        assert connection.transport.is_reading()


async def test_a_client_that_rests_may_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.net.connection.MAX_READ_S", 0.0)
    async with running_node() as node, connected(node) as client:
        client.send(C0C1 + C2)
        await until(lambda: node.services.registry.bytes_in > 0)
        reset(client)
        await until(lambda: not node.connections)


async def play(node: Node, client: NetClient) -> None:
    """Gets as far as the first keyframe."""
    client.ask_to_play()
    await client.until_media(b"K1")


def reset(client: NetClient) -> None:
    """Closes as a crashed client does."""
    sock = client.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.writer.transport.abort()


async def test_a_reset_in_the_middle_of_a_round_does_not_disturb_others() -> None:
    async with (
        running_node(fanout={"slice_viewers": 16}) as node,
        connected(node) as good,
        AsyncExitStack() as stack,
    ):
        node.begin_stream()
        bad = [await stack.enter_async_context(connected(node)) for _ in range(40)]
        await asyncio.gather(*(play(node, client) for client in [*bad, good]))
        for number in range(20):
            node.push(Role.FRAME, b"F%d" % number + bytes(10_000))
            for client in bad[number * 2 : number * 2 + 2]:
                reset(client)
            await asyncio.sleep(0)
        node.push(Role.FRAME, b"last")
        await good.until_media(b"last")
        assert [each[:3].rstrip(b"\0") for each in good.media[2:-1]] == [
            b"F%d" % number for number in range(20)
        ]
        await node.until_viewers(1)
        assert node.role.left == 40


async def test_c84_a_client_that_stops_reading_is_skipped_and_kicked_another_gets_all(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fanout: dict[str, object] = {
        "lag_limit_bytes": 65_536,
        "kick_after_s": 0.1,
        "unsent_bytes": 16_384,
    }
    async with (
        running_node(fanout=fanout) as node,
        connected(node, receive_bytes=4096) as slow,
        connected(node) as good,
    ):
        node.begin_stream()
        await play(node, slow)
        await play(node, good)
        sent = 0
        while "too_slow" not in reasons(caplog):
            node.push(Role.FRAME, b"F%06d" % sent + bytes(20_000))
            sent += 1
            await good.until_media(b"F%06d" % (sent - 1) + bytes(20_000))
            for output in list(node.stream.outputs):
                output.check_lag(node.services.now())
        assert node.flusher.totals.skipped_gops == 1
        assert [each[:7] for each in good.media[2:]] == [b"F%06d" % at for at in range(sent)]
        await node.until_viewers(1)
        await slow.read_to_the_end()


async def test_c84_a_client_that_reads_again_goes_on_at_a_keyframe() -> None:
    fanout: dict[str, object] = {"lag_limit_bytes": 65_536, "unsent_bytes": 16_384}
    async with (
        running_node(fanout=fanout) as node,
        connected(node, receive_bytes=4096) as slow,
    ):
        node.begin_stream()
        await play(node, slow)
        number = 0
        while not node.flusher.totals.skipped_gops:
            node.push(Role.FRAME, b"F%06d" % number + bytes(20_000))
            number += 1
            await asyncio.sleep(0.002)
        (viewer,) = node.stream.viewers
        while viewer.congested:
            await slow.read()
        node.push(Role.FRAME, b"lost")
        node.push(Role.KEYFRAME, b"K2")
        await slow.until_media(b"K2")
        frames = [each[:7] for each in slow.media[2:-1]]
        assert frames == [b"F%06d" % at for at in range(len(frames))], "nothing from mid-GOP"
        assert len(frames) < number


async def test_a_client_that_plays_again_without_reading_stays_within_bounds() -> None:
    fanout: dict[str, object] = {"lag_limit_bytes": 65_536, "unsent_bytes": 16_384}
    async with (
        running_node(fanout=fanout) as node,
        connected(node, receive_bytes=4096) as slow,
    ):
        node.push(Role.VIDEO_HEADER, b"VH1")
        node.push(Role.KEYFRAME, b"K1")
        node.push(Role.FRAME, bytes(300_000))
        slow.ask_to_play()
        await node.until_viewers(1)
        (connection,) = node.connections
        await until(lambda: connection.congested)
        for _ in range(20):
            slow.call("play", 0, None, "name", stream_id=1)
        await until(lambda: len(node.role.orders) == 21)
        for _ in range(50):
            node.push(Role.FRAME, bytes(20_000))
            await asyncio.sleep(0)
        assert connection.transport.get_write_buffer_size() < 400_000


async def test_more_connections_than_allowed_are_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with (
        running_node(rtmp={"max_connections": 1}) as node,
        connected(node) as first,
        connected(node) as second,
    ):
        await second.read_to_the_end()
        assert "too_many_connections" in reasons(caplog)
        node.begin_stream()
        await play(node, first)
        reset(first)
        await until(lambda: not node.connections)
        async with connected(node) as third:
            await play(node, third)


async def test_a_peer_is_named_by_its_address() -> None:
    async with running_node() as node, connected(node) as client:
        await until(lambda: bool(node.connections))
        (connection,) = node.connections
        own = client.writer.get_extra_info("sockname")
        assert connection.peer == f"{HOST}:{own[1]}"


class ResetTransport:
    """A transport whose peer has just sent RST, on the plain asyncio loop."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def write_eof(self) -> None:
        raise OSError(errno.ENOTCONN, "not connected")

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)


async def test_a_connection_that_was_reset_as_it_is_closed_is_over_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("common.net.parting.LINGER_S", 60.0)
    async with running_node() as node, connected(node):
        await until(lambda: bool(node.connections))
        (connection,) = node.connections
        connection.transport = cast("asyncio.Transport", ResetTransport(connection.transport))
        connection.close("kicked")
        await until(lambda: not node.connections)
