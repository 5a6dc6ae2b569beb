"""Connections to Redis that are reset, on uvloop, whose transports answer in their own way."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from common.cluster.records import EventKind
from common.cluster.redis_directory import RedisDirectory
from common.config.model import LeaseSettings, RedisSettings
from common.errors import DirectoryUnavailable
from common.ids import StreamKey
from common.local.redis_server import RedisServer
from tests.support.chaos_proxy import ChaosProxy
from tests.support.wait import until

pytestmark = pytest.mark.integration

AT_ONCE = 6


@pytest.fixture
async def proxy() -> AsyncIterator[ChaosProxy]:
    async with RedisServer() as redis, ChaosProxy(("127.0.0.1", redis.port)) as proxy:
        yield proxy


@pytest.fixture
async def directory(proxy: ChaosProxy) -> AsyncIterator[RedisDirectory]:
    settings = RedisSettings(url=SecretStr(f"redis://127.0.0.1:{proxy.port}/0"))
    directory = RedisDirectory(settings, LeaseSettings())
    yield directory
    await directory.close()


async def look_up(directory: RedisDirectory) -> set[type]:
    answers: list[object] = await asyncio.gather(
        *(directory.lookup(StreamKey(f"live/{n}")) for n in range(AT_ONCE)), return_exceptions=True
    )
    return {type(each) for each in answers}


async def test_idle_connections_that_were_reset_mean_that_redis_is_away_and_no_more(
    proxy: ChaosProxy, directory: RedisDirectory
) -> None:
    assert await look_up(directory) == {type(None)}
    proxy.cut()
    await until(lambda: proxy.connections == 0)
    # The loop has seen the resets before the connections are used again.
    await asyncio.sleep(0.01)
    assert await look_up(directory) <= {DirectoryUnavailable, type(None)}
    assert await look_up(directory) == {type(None)}


async def test_announcements_go_on_after_resets(
    proxy: ChaosProxy, directory: RedisDirectory
) -> None:
    events = directory.events()
    async with asyncio.timeout(20):
        for _ in range(3):
            assert (await anext(events)).kind is EventKind.RESYNC
            await look_up(directory)  # leaves idle connections for the listener to be given
            proxy.cut()
            assert (await anext(events)).kind is EventKind.AWAY
    await events.aclose()
