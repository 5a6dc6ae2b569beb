"""Announcements from a real Redis: that they begin, go on, and begin again."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from common.cluster.keys import Keys
from common.cluster.records import ClusterEvent, EventKind
from common.cluster.redis_directory import RedisDirectory
from common.config.model import LeaseSettings, PublisherPolicy, RedisSettings
from common.ids import StreamKey
from common.local.redis_server import RedisServer
from tests.support.cluster import STREAM, make_claim
from tests.support.logged import logged
from tests.support.redis import redis_settings_for
from tests.support.wait import until

pytestmark = pytest.mark.integration

AWAY = ClusterEvent(kind=EventKind.AWAY)
RESYNC = ClusterEvent(kind=EventKind.RESYNC)
KICK = ClusterEvent(kind=EventKind.KICK, stream=STREAM)


@pytest.fixture
async def server() -> AsyncIterator[RedisServer]:
    async with RedisServer() as server:
        yield server


@pytest.fixture
async def directory(server: RedisServer) -> AsyncIterator[RedisDirectory]:
    # Short, so that a dead connection is found out at once.
    directory = RedisDirectory(redis_settings_for(server.url, timeout_s=0.2), LeaseSettings())
    yield directory
    await directory.close()


async def hear(events: AsyncIterator[ClusterEvent]) -> ClusterEvent:
    async with asyncio.timeout(10):
        return await anext(events)


async def test_what_changes_after_the_first_resync_is_heard(
    redis_directory: RedisDirectory,
) -> None:
    events = redis_directory.events()
    assert await hear(events) == RESYNC
    route = await redis_directory.claim(make_claim(), PublisherPolicy.TAKEOVER)
    assert await hear(events) == ClusterEvent(
        kind=EventKind.CLAIMED, stream=STREAM, epoch=route.epoch, route=route
    )
    await events.aclose()


async def test_every_listener_hears_every_announcement(redis_directory: RedisDirectory) -> None:
    listeners = [redis_directory.events() for _ in range(3)]
    assert [await hear(events) for events in listeners] == [RESYNC] * 3
    await redis_directory.kick(STREAM)
    assert [await hear(events) for events in listeners] == [KICK] * 3
    for events in listeners:
        await events.aclose()


async def test_a_lost_connection_is_made_again_and_a_resync_tells(
    redis_directory: RedisDirectory, raw_redis: Redis
) -> None:
    events = redis_directory.events()
    assert await hear(events) == RESYNC
    await raw_redis.client_kill_filter(_type="pubsub")
    assert [await hear(events), await hear(events)] == [AWAY, RESYNC]
    await redis_directory.kick(STREAM)
    assert await hear(events) == KICK
    await events.aclose()


async def test_a_restarted_server_is_found_again(
    directory: RedisDirectory, server: RedisServer
) -> None:
    events = directory.events()
    assert await hear(events) == RESYNC
    await server.kill()
    assert await hear(events) == AWAY
    await server.start()
    assert await hear(events) == RESYNC
    await directory.kick(STREAM)
    assert await hear(events) == KICK
    await events.aclose()


async def test_a_server_that_comes_up_later_is_found(
    directory: RedisDirectory, server: RedisServer
) -> None:
    await server.kill()
    events = directory.events()
    assert await hear(events) == AWAY
    await server.start()
    assert await hear(events) == RESYNC
    await events.aclose()


async def test_a_connection_that_is_open_but_dead_is_given_up(
    directory: RedisDirectory, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    events = directory.events()
    assert await hear(events) == RESYNC
    server.pause()
    assert await hear(events) == AWAY
    assert "silent, even to a ping" in logged(caplog)
    server.resume()
    assert await hear(events) == RESYNC
    await events.aclose()


async def was_pinged(raw: Redis, times: int) -> bool:
    statistics = await raw.info("commandstats")
    return statistics.get("cmdstat_ping", {"calls": 0})["calls"] >= times


async def test_a_quiet_connection_that_answers_pings_is_kept(
    directory: RedisDirectory, server: RedisServer
) -> None:
    events = directory.events()
    assert await hear(events) == RESYNC
    kick = asyncio.ensure_future(hear(events))
    async with Redis.from_url(server.url) as raw:
        await until(lambda: was_pinged(raw, times=3))
    await directory.kick(STREAM)
    assert await kick == KICK  # and no RESYNC before it
    await events.aclose()


async def test_an_announcement_that_cannot_be_read_is_passed_over(
    redis_directory: RedisDirectory,
    redis_settings: RedisSettings,
    raw_redis: Redis,
    caplog: pytest.LogCaptureFixture,
) -> None:
    channel = Keys(redis_settings.key_prefix).events
    events = redis_directory.events()
    assert await hear(events) == RESYNC
    for garbage in (b"", b"\xff", b"\x92\x80\x00", "text"):
        await raw_redis.publish(channel, garbage)
    await redis_directory.kick(STREAM)
    assert await hear(events) == KICK
    assert logged(caplog).count("announcement ignored") == 4
    await events.aclose()


async def cancel_at_once(waiting: asyncio.Task[ClusterEvent]) -> None:
    await asyncio.sleep(0)
    waiting.cancel()
    async with asyncio.timeout(0.1):
        with contextlib.suppress(asyncio.CancelledError):
            await waiting


async def test_listening_to_a_quiet_channel_is_cancelled_at_once(
    redis_directory: RedisDirectory,
) -> None:
    events = redis_directory.events()
    await hear(events)
    await cancel_at_once(asyncio.create_task(hear(events)))


@pytest.mark.parametrize("trouble", [RedisServer.pause, RedisServer.kill])
async def test_listening_to_a_server_in_trouble_is_cancelled_at_once(
    directory: RedisDirectory, server: RedisServer, trouble
) -> None:
    events = directory.events()
    await hear(events)
    if done := trouble(server):
        await done
    waiting = asyncio.create_task(hear(events))
    await cancel_at_once(waiting)
    server.resume() if trouble is RedisServer.pause else await server.start()


async def test_a_closed_directory_ends_its_events(redis_directory: RedisDirectory) -> None:
    events = redis_directory.events()
    await hear(events)
    end = asyncio.ensure_future(hear(events))
    await asyncio.sleep(0)
    await redis_directory.close()
    with pytest.raises(StopAsyncIteration):
        await end


async def test_announcements_of_one_stream_come_in_order(redis_directory: RedisDirectory) -> None:
    events = redis_directory.events()
    await hear(events)
    claims = [make_claim(StreamKey("live/a"), owner=f"n-{n}/0/x") for n in range(100)]
    await asyncio.gather(
        *(redis_directory.claim(claim, PublisherPolicy.TAKEOVER) for claim in claims)
    )
    epochs = [(await hear(events)).epoch for _ in claims]
    assert epochs == sorted(set(epochs))
    await events.aclose()
