"""A way across a router that drops packets: TCP over it is slower, and as right as ever."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support.lossy_way import CannotBeHad, LossyWay
from tests.support.wait import until


def is_there() -> bool:
    return Path(f"/sys/class/net/hwlab{os.getpid()}a").exists()


@pytest.fixture
async def way() -> AsyncIterator[LossyWay]:
    async with AsyncExitStack() as stack:
        try:
            way = await stack.enter_async_context(LossyWay())
        except CannotBeHad as error:
            pytest.skip(str(error))
        yield way


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
    writer.close()


async def test_what_is_lost_is_counted_and_arrives_all_the_same(way: LossyWay) -> None:
    server = await asyncio.start_server(echo, way.near, 0)
    async with server, asyncio.timeout(20):
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(way.far, port)
        writer.write(b"sound")
        assert await reader.readexactly(5) == b"sound"
        assert await way.heal() == 0
        await way.lose(0.2)
        said = bytes(range(256)) * 10
        for _ in range(15):
            writer.write(said)
            assert await reader.readexactly(len(said)) == said
        assert await way.heal() > 0
        writer.close()


async def test_nothing_is_left_behind(way: LossyWay) -> None:
    assert is_there()
    await way.__aexit__(None, None, None)
    assert not is_there()


async def test_it_ends_with_the_process_that_holds_it(way: LossyWay) -> None:
    assert way._holder is not None
    assert way._holder.stdin is not None
    way._holder.stdin.close()  # as the kernel does whatever kills us
    await until(lambda: not is_there())


async def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CannotBeHad, match="unshare: No such file"):
        await LossyWay().__aenter__()
