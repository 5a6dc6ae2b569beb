"""Redis away: every call fails in time and with one error, and works again by itself."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from redis.asyncio import Redis
from redis.cluster import key_slot

from common.cluster.keys import Keys
from common.cluster.records import EventKind, Renewal, Route
from common.cluster.redis_directory import RedisDirectory
from common.config.model import LeaseSettings, PublisherPolicy, RedisSettings
from common.errors import DirectoryUnavailable
from common.local.redis_server import RedisServer, free_port
from tests.support.cluster import STREAM, make_claim, make_load, make_node
from tests.support.redis import cluster_node, join, redis_settings_for
from tests.support.wait import until

pytestmark = pytest.mark.integration

TIMEOUT_S = 0.3
SECRET = "hush-hush"

ROUTE = Route(claim=make_claim(), epoch=1)
CALLS: dict[str, Callable[[RedisDirectory], Awaitable[object]]] = {
    "claim": lambda directory: directory.claim(make_claim(), PublisherPolicy.TAKEOVER),
    "renew": lambda directory: directory.renew([ROUTE, ROUTE]),
    "release": lambda directory: directory.release(ROUTE),
    "lookup": lambda directory: directory.lookup(STREAM),
    "routes": lambda directory: directory.routes(),
    "put_node": lambda directory: directory.put_node(make_node(), make_load()),
    "remove_node": lambda directory: directory.remove_node(make_node().id),
    "nodes": lambda directory: directory.nodes(),
    "loads": lambda directory: directory.loads(),
    "kick": lambda directory: directory.kick(STREAM),
}


@pytest.fixture
async def server() -> AsyncIterator[RedisServer]:
    async with RedisServer(password=SECRET) as server:
        yield server


def directory_at(url: str) -> RedisDirectory:
    settings = redis_settings_for(url, timeout_s=TIMEOUT_S, connect_timeout_s=TIMEOUT_S)
    return RedisDirectory(settings, LeaseSettings())


@pytest.fixture
async def directory(server: RedisServer) -> AsyncIterator[RedisDirectory]:
    directory = directory_at(server.url)
    yield directory
    await directory.close()


async def fails_in_time(call: Awaitable[object]) -> str:
    # Twice the time of the call's own deadline, for a busy machine.
    async with asyncio.timeout(2 * TIMEOUT_S):
        with pytest.raises(DirectoryUnavailable) as failure:
            await call
    return str(failure.value)


@pytest.mark.parametrize("name", CALLS)
async def test_every_call_says_that_nobody_is_there(name: str) -> None:
    port = free_port()
    directory = directory_at(f"redis://user:{SECRET}@127.0.0.1:{port}/0")
    said = await fails_in_time(CALLS[name](directory))
    assert f"redis://127.0.0.1:{port}/0" in said
    assert SECRET not in said
    await directory.close()


async def test_every_call_fails_in_time_when_redis_hangs(
    directory: RedisDirectory, server: RedisServer
) -> None:
    assert await directory.lookup(STREAM) is None
    server.pause()
    for call in CALLS.values():
        assert "no answer in time" in await fails_in_time(call(directory))
    server.resume()
    route = await directory.claim(make_claim(), PublisherPolicy.TAKEOVER)
    assert await directory.lookup(STREAM) == route


async def test_all_of_a_crowd_fail_in_time_when_redis_hangs(
    directory: RedisDirectory, server: RedisServer
) -> None:
    server.pause()
    async with asyncio.timeout(3 * TIMEOUT_S):
        found = await asyncio.gather(
            *(directory.lookup(STREAM) for _ in range(200)), return_exceptions=True
        )
    assert {type(one) for one in found} == {DirectoryUnavailable}
    server.resume()
    assert await directory.lookup(STREAM) is None


async def test_the_first_call_after_a_restart_works(
    directory: RedisDirectory, server: RedisServer
) -> None:
    route = await directory.claim(make_claim(), PublisherPolicy.TAKEOVER)
    await asyncio.gather(*(directory.lookup(STREAM) for _ in range(20)))  # fills the pool
    await server.kill()
    await fails_in_time(directory.renew([route]))
    await server.start()
    # The new server is empty and has none of the scripts.
    assert await directory.renew([route]) == [Renewal.RESTORED]
    found = await asyncio.gather(*(directory.lookup(STREAM) for _ in range(20)))
    assert found == [route] * 20


async def test_a_call_can_be_cancelled_while_redis_hangs(
    directory: RedisDirectory, server: RedisServer
) -> None:
    await directory.lookup(STREAM)
    server.pause()
    call = asyncio.ensure_future(directory.lookup(STREAM))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    server.resume()
    assert await directory.lookup(STREAM) is None


async def test_a_server_that_speaks_another_protocol_counts_as_away() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as stranger:
        port = stranger.sockets[0].getsockname()[1]
        directory = directory_at(f"redis://127.0.0.1:{port}/0")
        await fails_in_time(directory.lookup(STREAM))
        await directory.close()


async def test_closing_twice_and_while_redis_hangs_is_no_error(
    directory: RedisDirectory, server: RedisServer
) -> None:
    await directory.lookup(STREAM)
    server.pause()
    async with asyncio.timeout(2 * TIMEOUT_S):
        await directory.close()
        await directory.close()
    server.resume()


async def test_a_cluster_that_was_gone_is_found_again() -> None:
    servers = [cluster_node(), cluster_node()]
    try:
        await join(servers)
        settings = redis_settings_for(servers[0].url, mode="cluster", timeout_s=2.0)
        directory = RedisDirectory(settings, LeaseSettings())
        events = directory.events()
        assert (await anext(events)).kind is EventKind.RESYNC
        # Enough for both to hold some.
        claims = [make_claim(f"live/{n}") for n in range(10)]
        routes = [await directory.claim(one, PublisherPolicy.TAKEOVER) for one in claims]
        for server in servers:
            await server.kill()
        with pytest.raises(DirectoryUnavailable):
            await directory.renew(routes)
        for server in servers:
            await server.start()

        async def complete() -> bool:
            try:
                return not {Renewal.LOST, None} & set(await directory.renew(routes))
            except DirectoryUnavailable:  # the nodes find each other first
                return False

        await until(complete)
        assert await directory.routes() == routes
        async with asyncio.timeout(10):
            while (await anext(events)).kind is not EventKind.AWAY:
                pass
            assert (await anext(events)).kind is EventKind.RESYNC
        await events.aclose()
        await directory.close()
    finally:
        for server in servers:
            await server.stop()


async def test_a_record_that_cannot_be_renewed_hides_no_other(
    redis_directory: RedisDirectory, redis_settings: RedisSettings, raw_redis: Redis
) -> None:
    claims = [make_claim(f"live/{n}") for n in range(3)]
    broken, lost, kept = [
        await redis_directory.claim(one, PublisherPolicy.TAKEOVER) for one in claims
    ]
    route_key = Keys(redis_settings.key_prefix).route(broken.stream)
    await raw_redis.set(route_key, "not of the type that we write")
    theirs = make_claim(lost.stream, owner="origin-2/0/bb")
    await redis_directory.claim(theirs, PublisherPolicy.TAKEOVER)
    renewals = await redis_directory.renew([broken, lost, kept])
    assert renewals == [None, Renewal.LOST, Renewal.KEPT]


async def test_a_shard_that_is_gone_hides_nothing_of_another() -> None:
    servers = [cluster_node(), cluster_node()]
    try:
        await join(servers)
        settings = redis_settings_for(servers[0].url, mode="cluster")
        async with Redis.from_url(servers[0].url) as raw:
            await raw.config_set("cluster-require-full-coverage", "no")
        directory = RedisDirectory(settings, LeaseSettings())
        # Enough for both to hold some.
        claims = [make_claim(f"live/{n}") for n in range(10)]
        routes = [await directory.claim(one, PublisherPolicy.TAKEOVER) for one in claims]
        on_first = [key_slot(route.stream.encode()) <= 8191 for route in routes]
        taken = routes[on_first.index(True)]
        theirs = make_claim(taken.stream, owner="origin-2/0/bb")
        await directory.claim(theirs, PublisherPolicy.TAKEOVER)
        await servers[1].kill()
        renewals = dict(zip(routes, await directory.renew(routes), strict=True))
        assert renewals.pop(taken) is Renewal.LOST
        on_first.remove(True)
        expected = [Renewal.KEPT if first else None for first in on_first]
        assert list(renewals.values()) == expected
        await directory.close()
    finally:
        for server in servers:
            await server.stop()
