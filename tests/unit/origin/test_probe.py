"""Whether a worker serves a stream, asked of real servers and of ports with something wrong."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from common.cluster.records import Route
from common.ids import NodeId, StreamKey
from common.rtmp.limits import RtmpLimits
from origin.probe import serves
from tests.support.cluster import make_claim
from tests.support.rtmp_node import HOST, STREAM, running_node

TIMEOUT_S = 0.3


def route_to(address: str, stream: str = STREAM) -> Route:
    return Route(claim=replace(make_claim(stream), address=address), epoch=7)


async def ask(address: str, stream: str = STREAM) -> bool:
    return await serves(route_to(address, stream), NodeId("me"), RtmpLimits(), TIMEOUT_S)


@asynccontextmanager
async def listening(*, answers: bool) -> AsyncIterator[str]:
    """A port that takes connections: closes them at once, or leaves them in the kernel's queue."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        sock.listen()
        address = f"{HOST}:{sock.getsockname()[1]}"
        if not answers:
            yield address
            return
        sock.setblocking(False)

        def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        async with await asyncio.start_server(hang_up, sock=sock):
            yield address


async def test_worker_that_has_the_stream_serves_it_though_its_publisher_is_silent() -> None:
    async with running_node() as node:
        assert await ask(f"{HOST}:{node.port}")
        node.begin_stream()
        assert await ask(f"{HOST}:{node.port}")


async def test_worker_that_does_not_have_the_stream_does_not_serve_it() -> None:
    async with running_node() as node:
        assert not await ask(f"{HOST}:{node.port}", "live/other")


async def test_worker_that_makes_us_wait_does_not_serve() -> None:
    async with running_node() as node:
        node.role.coming[StreamKey("live/late")] = asyncio.get_running_loop().create_future()
        assert not await ask(f"{HOST}:{node.port}", "live/late")


@pytest.mark.parametrize("answers", [True, False])
async def test_open_port_proves_nothing(answers: bool) -> None:
    # A process that is stopped has its connections accepted by the kernel.
    async with listening(answers=answers) as address:
        assert not await ask(address)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "", "a..b:1935", "host:99999"])
async def test_address_that_leads_nowhere_serves_nothing(address: str) -> None:
    assert not await ask(address)
