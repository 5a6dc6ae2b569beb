"""The proxy does what it is told, and nothing to what it is not."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic

import pytest

from tests.support.chaos_proxy import ChaosProxy, Way
from tests.support.wait import until

HOST = "127.0.0.1"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """A server that answers with what it gets, and how many connections it has had."""

    def __init__(self) -> None:
        self.ended = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            self.ended += 1
            writer.close()


@asynccontextmanager
async def echoing() -> AsyncIterator[tuple[ChaosProxy, Echo]]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, HOST, 0)
    async with server, ChaosProxy((HOST, server.sockets[0].getsockname()[1])) as proxy:
        yield proxy, echo


async def connect(proxy: ChaosProxy) -> Streams:
    return await asyncio.open_connection(HOST, proxy.port)


async def say(streams: Streams, data: bytes) -> bytes:
    streams[1].write(data)
    async with asyncio.timeout(10):
        return await streams[0].readexactly(len(data))


async def hears_nothing(reader: asyncio.StreamReader) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await reader.read(1)


async def test_what_is_sent_comes_through_unchanged_and_so_does_its_end() -> None:
    async with echoing() as (proxy, _):
        streams = await connect(proxy)
        data = bytes(range(256)) * 2000
        assert await say(streams, data) == data
        assert proxy.bytes == {Way.FORTH: len(data), Way.BACK: len(data)}
        streams[1].close()
        await until(lambda: proxy.connections == 0)


async def test_a_cut_resets_what_runs_and_lets_new_connections_in() -> None:
    async with echoing() as (proxy, echo):
        reader, writer = streams = await connect(proxy)
        assert await say(streams, b"before") == b"before"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        writer.close()
        await until(lambda: echo.ended == 1)
        fresh = await connect(proxy)
        assert await say(fresh, b"after") == b"after"
        fresh[1].close()


async def test_a_refusing_proxy_closes_its_port_until_it_is_healed() -> None:
    async with echoing() as (proxy, _):
        old = await connect(proxy)
        assert await say(old, b"old") == b"old"
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await connect(proxy)
        assert await say(old, b"still") == b"still"
        await proxy.heal()
        new = await connect(proxy)
        assert await say(new, b"new") == b"new"
        old[1].close()
        new[1].close()


@pytest.mark.parametrize("ways", [Way.FORTH, Way.BACK, Way.BOTH])
async def test_what_is_sent_into_a_freeze_arrives_when_it_is_over(ways: Way) -> None:
    async with echoing() as (proxy, _):
        reader, writer = streams = await connect(proxy)
        assert await say(streams, b"before") == b"before"
        proxy.freeze(ways)
        writer.write(b"during")
        await hears_nothing(reader)
        proxy.heal_ways()
        async with asyncio.timeout(10):
            assert await reader.readexactly(6) == b"during"
        writer.close()


async def test_who_connects_into_a_freeze_is_accepted_and_hears_nothing() -> None:
    async with echoing() as (proxy, _):
        proxy.freeze()
        reader, writer = await connect(proxy)
        writer.write(b"hello")
        await hears_nothing(reader)
        proxy.heal_ways()
        async with asyncio.timeout(10):
            assert await reader.readexactly(5) == b"hello"
        writer.close()


async def test_an_end_does_not_pass_a_freeze() -> None:
    async with echoing() as (proxy, echo):
        streams = await connect(proxy)
        assert await say(streams, b"before") == b"before"
        proxy.freeze()
        streams[1].close()
        await asyncio.sleep(0.05)
        assert echo.ended == 0
        proxy.heal_ways()
        await until(lambda: echo.ended == 1)


@pytest.mark.parametrize(
    "trouble",
    [
        lambda proxy: proxy.delay(0.1, Way.BACK),
        lambda proxy: proxy.lose(1.0, Way.BACK),
        lambda proxy: proxy.limit(10_000, Way.BACK),
    ],
    ids=["delay", "loss", "rate"],
)
async def test_trouble_makes_late_and_harms_nothing(trouble: Callable[[ChaosProxy], None]) -> None:
    async with echoing() as (proxy, _):
        streams = await connect(proxy)
        assert await say(streams, b"before") == b"before"
        trouble(proxy)
        began = monotonic()
        assert await say(streams, bytes(1000)) == bytes(1000)
        assert monotonic() - began >= 0.09
        streams[1].close()
