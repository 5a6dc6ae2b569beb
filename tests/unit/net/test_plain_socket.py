"""Viewers are written to by a second way to their descriptors, which must never outlive those."""

import asyncio
import gc
import os
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import uvloop

from common.media.packet import Role
from common.net.connection import RtmpConnection
from common.stream.flushable import FlushTimes
from common.stream.viewer import Audience, Viewer
from tests.support.rtmp_node import (
    HOST,
    NetClient,
    Node,
    connected,
    connected_sibling,
    running_node,
)
from tests.support.wait import until

TLS = Path(__file__).parents[2] / "support" / "tls"

Scenario = Callable[[], Coroutine[object, object, None]]


def on_each_loop(scenario: Scenario) -> Callable[[Callable[[], asyncio.AbstractEventLoop]], None]:
    """Runs a test on the loop of workers, and on asyncio's own."""

    @pytest.mark.parametrize("new_loop", [uvloop.new_event_loop, asyncio.new_event_loop])
    def test(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(scenario())

    return test


class LateRound:
    """A round that still has a viewer in it that should have been retracted."""

    viewers = 1

    def __init__(self, viewer: Viewer) -> None:
        self.times = FlushTimes()
        self.begun = False
        self._viewer = viewer

    def begin_flush(self, now: float) -> tuple[bytes, Audience]:
        """Returns bytes that are nobody's."""
        self.begun = True
        return b"for somebody else", Audience([self._viewer])


async def playing(node: Node, client: NetClient) -> tuple[RtmpConnection, Viewer]:
    """Lets a client play; returns its connection and viewer."""
    client.ask_to_play()
    await client.until_media(b"K1")
    viewer = list(node.stream.viewers)[-1]
    (connection,) = [each for each in node.connections if each.transport is viewer.sink]
    return connection, viewer


@on_each_loop
async def test_a_player_is_written_to_by_its_socket() -> None:
    async with running_node() as node, connected(node) as client:
        node.begin_stream()
        connection, viewer = await playing(node, client)
        outlet = viewer.outlet
        assert outlet is not None
        assert outlet is connection.plain_socket()
        node.push(Role.FRAME, b"F1")
        await client.until_media(b"F1")


@on_each_loop
async def test_the_descriptor_is_open_until_connection_lost_has_returned() -> None:
    seen: list[bool] = []

    class Lost(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.descriptor = transport.get_extra_info("socket").fileno()

        def connection_lost(self, exc: Exception | None) -> None:
            os.fstat(self.descriptor)
            seen.append(True)

    server = await asyncio.get_running_loop().create_server(Lost, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    _, writer = await asyncio.open_connection(HOST, port)
    writer.transport.abort()
    await until(lambda: bool(seen))
    server.close()


@on_each_loop
async def test_who_comes_by_the_same_descriptor_gets_nothing_of_a_late_flush() -> None:
    async with running_node() as node:
        node.begin_stream()
        async with connected(node) as client:
            connection, viewer = await playing(node, client)
            outlet = viewer.outlet
            descriptor = connection.transport.get_extra_info("socket").fileno()
        await until(lambda: not node.connections)
        with taking(descriptor) as peer:
            viewer.outlet = outlet  # as if nobody had noticed
            late = LateRound(viewer)
            node.flusher.flush(late)
            await until(lambda: late.begun)
            del connection, viewer, outlet, late._viewer
            gc.collect()
            peer.setblocking(False)
            with pytest.raises(BlockingIOError):
                peer.recv(100)
            os.fstat(descriptor)  # nor was it closed


@contextmanager
def taking(descriptor: int) -> Iterator[socket.socket]:
    """Opens sockets until one has this number, which is free; yields its peer."""
    with ExitStack() as stack:
        peers: dict[int, socket.socket] = {}
        while descriptor not in peers:
            one, other = map(stack.enter_context, socket.socketpair())
            peers |= {one.fileno(): other, other.fileno(): one}
        yield peers[descriptor]


@on_each_loop
async def test_a_player_that_reads_late_gets_everything_in_order() -> None:
    async with (
        running_node(fanout={"unsent_bytes": 16_384, "lag_limit_bytes": 50_000_000}) as node,
        connected(node, receive_bytes=4096) as client,
    ):
        node.begin_stream()
        _, viewer = await playing(node, client)
        frames: list[bytes] = []
        while not viewer.congested:
            frames.append(b"%06d" % len(frames) * 2000)
            node.push(Role.FRAME, frames[-1])
            await asyncio.sleep(0)
        assert viewer.outlet is None
        frames.append(b"last")
        node.push(Role.FRAME, b"last")
        await client.until_media(b"last")
        assert client.media[-len(frames) :] == frames
        await until(lambda: not viewer.congested)
        assert viewer.outlet is not None
        node.push(Role.FRAME, b"by the socket again")
        await client.until_media(b"by the socket again")


@on_each_loop
async def test_a_player_that_has_reset_is_found_out_by_its_transport() -> None:
    async with running_node() as node, connected(node) as client, connected(node) as other:
        node.begin_stream()
        await playing(node, client)
        other.ask_to_play()
        await other.until_media(b"K1")
        client.writer.transport.abort()
        node.push(Role.FRAME, b"F1")
        await other.until_media(b"F1")
        await node.until_viewers(1)


async def test_who_does_not_play_has_no_second_way() -> None:
    async with running_node() as node, connected(node):
        await until(lambda: bool(node.connections))
        (connection,) = node.connections
        assert connection._socket is None


async def test_a_sibling_is_written_to_by_its_socket(tmp_path: Path) -> None:
    async with running_node() as node:
        await node.server.listen_siblings(tmp_path / "sock")
        async with connected_sibling(tmp_path / "sock") as client:
            node.begin_stream()
            _, viewer = await playing(node, client)
            assert viewer.outlet is not None
            node.push(Role.FRAME, b"F1")
            await client.until_media(b"F1")


async def test_what_is_encrypted_goes_by_the_transport() -> None:
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(TLS / "server.pem", TLS / "server.key")
    trusting = ssl.create_default_context(cafile=TLS / "ca.pem")
    async with running_node() as node:
        node.begin_stream()
        server = await asyncio.get_running_loop().create_server(
            lambda: RtmpConnection(node.services), HOST, 0, ssl=served
        )
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(HOST, port, ssl=trusting)
        client = NetClient(reader, writer)
        connection, viewer = await playing(node, client)
        assert (connection.plain_socket(), viewer.outlet) == (None, None)
        node.push(Role.FRAME, b"F1")
        await client.until_media(b"F1")
        writer.transport.abort()
        await until(lambda: not node.connections)
        server.close()
