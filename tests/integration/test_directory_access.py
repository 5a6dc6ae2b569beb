"""Every way to reach Redis that the settings offer."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from common.cluster.records import ClusterEvent, EventKind
from common.cluster.redis_directory import RedisDirectory
from common.config.model import LeaseSettings, PublisherPolicy, RedisSettings
from common.errors import DirectoryUnavailable
from common.local.redis_server import HOST, RedisServer
from tests.support.cluster import STREAM, make_claim
from tests.support.logged import logged
from tests.support.redis import redis_settings_for
from tests.support.wait import until

pytestmark = pytest.mark.integration

# What a password may hold, and a URL may not.
SECRET = "pass/w@rd#1?&%"
# As the docstring of common/cluster/redis_directory.py says.
READS = ["+get", "+hget", "+hmget", "+scan", "+time"]
WRITES = ["+set", "+hset", "+del", "+pexpire", "+eval", "+evalsha"]
RIGHTS = [*READS, *WRITES, "+publish", "+subscribe", "+ping"]
TLS_FILES = Path(__file__).parents[1] / "support" / "tls"


@asynccontextmanager
async def open_directory(settings: RedisSettings) -> AsyncIterator[RedisDirectory]:
    directory = RedisDirectory(settings, LeaseSettings())
    try:
        yield directory
    finally:
        await directory.close()


async def works(settings: RedisSettings) -> None:
    """Pass a stream and an announcement through the table."""
    async with open_directory(settings) as directory, asyncio.timeout(10):
        events = directory.events()
        assert (await anext(events)).kind is EventKind.RESYNC
        route = await directory.claim(make_claim(), PublisherPolicy.TAKEOVER)
        assert await directory.lookup(STREAM) == route
        assert await anext(events) == ClusterEvent(
            kind=EventKind.CLAIMED, stream=STREAM, epoch=route.epoch, route=route
        )
        assert await directory.renew([route])
        assert await directory.routes() == [route]
        assert await directory.release(route)
        await events.aclose()


async def is_refused(settings: RedisSettings) -> str:
    async with open_directory(settings) as directory:
        with pytest.raises(DirectoryUnavailable) as refusal:
            await directory.lookup(STREAM)
    return str(refusal.value)


async def test_a_password_in_the_url_in_the_settings_or_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n")
    async with RedisServer(password=SECRET) as server:
        bare = f"redis://{HOST}:{server.port}/0"
        await works(redis_settings_for(server.url))
        await works(redis_settings_for(bare, password=SecretStr(SECRET)))
        await works(redis_settings_for(bare, password_file=file))
        assert "Authentication required" in await is_refused(redis_settings_for(bare))


async def test_a_user_with_only_the_rights_that_the_table_needs() -> None:
    async with RedisServer(password=SECRET) as server:
        bare = f"redis://{HOST}:{server.port}/0"
        settings = redis_settings_for(bare, username="headwater", password=SecretStr("its-own"))
        prefix = settings.key_prefix
        rights = [f"~{prefix}:*", f"&{prefix}:events", *RIGHTS]
        async with Redis.from_url(server.url) as raw:
            await raw.execute_command("ACL SETUSER", "headwater", "on", ">its-own", *rights)
        await works(settings)
        other_prefix = settings.model_copy(update={"key_prefix": "other"})
        assert "no permissions" in (await is_refused(other_prefix)).lower()


async def test_where_only_one_user_may_log_in() -> None:
    async with RedisServer(password=SECRET, acl_user="headwater") as server:
        bare = f"redis://{HOST}:{server.port}/0"
        await works(redis_settings_for(server.url))
        await works(redis_settings_for(bare, username="headwater", password=SecretStr(SECRET)))
        await is_refused(redis_settings_for(bare, password=SecretStr(SECRET)))


async def test_a_wrong_password_is_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with RedisServer(password="the right one") as server:
        settings = redis_settings_for(f"redis://{HOST}:{server.port}/0", password=SECRET)
        said = await is_refused(settings)
        assert "invalid username-password pair" in said
        async with open_directory(settings) as directory:
            first = asyncio.ensure_future(anext(directory.events()))
            await until(lambda: "lost" in logged(caplog))
            first.cancel()
            shown = [said, logged(caplog), repr(directory), repr(settings)]
    assert not [text for text in shown if SECRET in text]


async def test_databases_are_kept_apart(redis_url: str) -> None:
    settings = redis_settings_for(redis_url)
    third = redis_settings_for(redis_url.removesuffix("/0") + "/3")
    third = third.model_copy(update={"key_prefix": settings.key_prefix})
    await works(third)
    async with open_directory(settings) as one, open_directory(third) as other:
        await one.claim(make_claim(), PublisherPolicy.TAKEOVER)
        assert await other.lookup(STREAM) is None


async def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    async with RedisServer(password="secret", options=["--unixsocket", str(path)]):
        await works(redis_settings_for(f"unix://:secret@{path}?db=2"))


async def test_a_cluster(redis_cluster_url: str) -> None:
    await works(redis_settings_for(redis_cluster_url, mode="cluster"))
    settings = redis_settings_for(redis_cluster_url, mode="cluster")
    async with open_directory(settings) as directory:
        # Enough for both nodes to hold some: one listing, one renewal and one listener for all.
        events = directory.events()
        await anext(events)
        claims = [make_claim(f"live/{n:02}") for n in range(40)]
        routes = [await directory.claim(one, PublisherPolicy.REJECT) for one in claims]
        assert await directory.routes() == routes
        assert len(set(await directory.renew(routes))) == 1
        async with asyncio.timeout(10):
            heard = [(await anext(events)).route for _ in routes]
        assert sorted(heard, key=lambda route: route.stream) == routes
        await events.aclose()


@asynccontextmanager
async def sentinel_of(master: RedisServer, password: str = "") -> AsyncIterator[RedisServer]:
    async with RedisServer(options=["--sentinel"], password=password) as sentinel:
        await watch(sentinel, master)
        yield sentinel


async def watch(sentinel: RedisServer, master: RedisServer) -> None:
    async with Redis.from_url(sentinel.url) as raw:
        names = await raw.execute_command("SENTINEL MASTERS")
        if names:
            await raw.execute_command("SENTINEL REMOVE", "mymaster")
        await raw.execute_command("SENTINEL MONITOR", "mymaster", HOST, master.port, 1)
        if master.password:
            await raw.execute_command("SENTINEL SET", "mymaster", "auth-pass", master.password)


def by_sentinel(*ports: int, **changes: object) -> RedisSettings:
    addresses = [f"{HOST}:{port}" for port in ports]
    return redis_settings_for("redis:///0", mode="sentinel", sentinels=addresses, **changes)


async def test_a_master_found_by_its_sentinel() -> None:
    async with RedisServer() as master, sentinel_of(master) as sentinel:
        await works(by_sentinel(sentinel.port))


async def test_a_master_and_a_sentinel_with_passwords_of_their_own() -> None:
    async with (
        RedisServer(password="master's") as master,
        sentinel_of(master, password="sentinel's") as sentinel,
    ):
        secrets = {"password": "master's", "sentinel_password": "sentinel's"}
        await works(by_sentinel(sentinel.port, **secrets))
        await is_refused(by_sentinel(sentinel.port, password="master's"))


async def test_sentinels_that_know_no_master_are_an_error_in_one_line() -> None:
    async with RedisServer(options=["--sentinel"]) as sentinel:
        said = await is_refused(by_sentinel(sentinel.port))
        place = f"mymaster of sentinels {HOST}:{sentinel.port}"
        assert said == f"{place}: No master found for 'mymaster'"
    gone = await is_refused(by_sentinel(sentinel.port))
    assert gone == said


async def test_a_sentinel_that_hangs_does_not_hide_the_next() -> None:
    async with RedisServer() as hung, RedisServer() as master, sentinel_of(master) as sentinel:
        hung.pause()
        await works(by_sentinel(hung.port, sentinel.port, timeout_s=1.5))
        hung.resume()


async def test_a_new_master_is_followed_after_a_failover() -> None:
    async with (
        RedisServer() as old,
        RedisServer() as new,
        sentinel_of(old) as sentinel,
        open_directory(by_sentinel(sentinel.port)) as directory,
    ):
        route = await directory.claim(make_claim(), PublisherPolicy.TAKEOVER)
        events = directory.events()
        await anext(events)
        await old.kill()
        await watch(sentinel, new)
        async with asyncio.timeout(10):
            assert (await anext(events)).kind is EventKind.AWAY
            assert (await anext(events)).kind is EventKind.RESYNC
        assert await directory.lookup(STREAM) is None
        await directory.renew([route])
        assert await directory.lookup(STREAM) == route
        await events.aclose()


@asynccontextmanager
async def tls_in_front_of(server: RedisServer, *, ask_client: bool = False) -> AsyncIterator[int]:
    # Stands in for the TLS of Redis itself, which not every build of the server has.
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=TLS_FILES / "ca.pem")
    context.load_cert_chain(TLS_FILES / "server.pem", TLS_FILES / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED if ask_client else ssl.CERT_NONE

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection(HOST, server.port)
        await asyncio.gather(copy(reader, to_writer), copy(to_reader, writer))

    proxy = await asyncio.start_server(forward, HOST, 0, ssl=context)
    async with proxy:
        yield proxy.sockets[0].getsockname()[1]


async def test_tls_with_a_certificate_authority_of_its_own() -> None:
    async with RedisServer(password="secret") as server, tls_in_front_of(server) as port:
        url = f"rediss://:secret@{HOST}:{port}/0"
        await works(redis_settings_for(url, tls_ca_file=TLS_FILES / "ca.pem"))
        said = await is_refused(redis_settings_for(url))
        assert "CERTIFICATE_VERIFY_FAILED" in said


async def test_tls_with_a_client_certificate() -> None:
    async with RedisServer() as server, tls_in_front_of(server, ask_client=True) as port:
        url = f"rediss://{HOST}:{port}/0"
        ca = {"tls_ca_file": TLS_FILES / "ca.pem"}
        own = {"tls_cert_file": TLS_FILES / "client.pem", "tls_key_file": TLS_FILES / "client.key"}
        await works(redis_settings_for(url, **ca, **own))
        await is_refused(redis_settings_for(url, **ca))
