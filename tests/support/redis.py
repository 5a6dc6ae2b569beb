"""A real Redis for tests: in a container where a Docker engine runs, else a local server."""

import asyncio
import os
import socket
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import cast
from urllib.parse import SplitResult, urlsplit

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from common.cluster.redis_directory import RedisDirectory
from common.config.model import LeaseSettings, RedisSettings
from common.local.redis_server import HOST, RedisServer, free_port
from tests.support.wait import until

IMAGE = "valkey/valkey:8-alpine"


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A running Redis for the whole session."""
    with _container() if _docker_runs() else _local_server() as url:
        yield url


@pytest.fixture(scope="session")
def redis_cluster_url() -> Iterator[str]:
    """A node of a Redis Cluster of two, each with half of the slots."""
    servers = [cluster_node(), cluster_node()]
    try:
        asyncio.run(join(servers))
        yield servers[0].url
    finally:
        for server in servers:
            asyncio.run(server.stop())


@pytest.fixture
def redis_settings(redis_url: str) -> RedisSettings:
    """Settings with a key prefix of this test alone."""
    return redis_settings_for(redis_url)


@pytest.fixture
async def raw_redis(redis_url: str) -> AsyncIterator[Redis]:
    """A plain client to look behind the directory."""
    async with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
async def redis_directory(redis_settings: RedisSettings) -> AsyncIterator[RedisDirectory]:
    """An empty table in Redis, default lease."""
    directory = RedisDirectory(redis_settings, LeaseSettings())
    yield directory
    await directory.close()


def redis_settings_for(url: str, **changes: object) -> RedisSettings:
    """Make settings for ``url`` with a fresh key prefix, so that tests share no keys."""
    values = {"url": SecretStr(url), "key_prefix": f"t{uuid.uuid4().hex[:12]}", **changes}
    return RedisSettings.model_validate(values)


def _docker_runs() -> bool:
    # Asked by hand: the Docker SDK is slow to import and leaks a socket when nobody answers.
    engine = urlsplit(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
    try:
        with _connected(engine) as connection:
            connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return connection.recv(4096).startswith(b"HTTP/1.0 200")
    except OSError:
        return False


def _connected(engine: SplitResult) -> socket.socket:
    if engine.scheme != "unix":
        return socket.create_connection((engine.hostname, engine.port or 2375), timeout=2)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(2)
    try:
        connection.connect(engine.path)
    except OSError:
        connection.close()
        raise
    return connection


@contextmanager
def _container() -> Iterator[str]:
    from testcontainers.core.container import DockerContainer

    with DockerContainer(IMAGE).with_exposed_ports(6379) as container:
        url = f"redis://{container.get_container_host_ip()}:{container.get_exposed_port(6379)}/0"
        asyncio.run(_until_it_answers(url))
        yield url


@contextmanager
def _local_server() -> Iterator[str]:
    server = RedisServer()
    asyncio.run(server.start())
    try:
        yield server.url
    finally:
        asyncio.run(server.stop())


def cluster_node() -> RedisServer:
    """Make a node of a Redis Cluster that is yet to be started and joined."""
    # Without a port of its own the cluster bus takes the port + 10000, which may not exist.
    bus_port = str(free_port())
    return RedisServer(options=["--cluster-enabled", "yes", "--cluster-port", bus_port])


async def join(servers: list[RedisServer]) -> None:
    """Start two nodes and make a cluster of them, each with half of the slots."""
    slots = [(0, 8191), (8192, 16383)]
    for server, (first, last) in zip(servers, slots, strict=True):
        await server.start()
        async with Redis.from_url(server.url) as client:
            await _command(client, "CLUSTER ADDSLOTSRANGE", first, last)
            bus_port = (await client.config_get("cluster-port"))["cluster-port"]
        async with Redis.from_url(servers[0].url) as client:
            await _command(client, "CLUSTER MEET", HOST, server.port, str(bus_port))
    for server in servers:
        async with Redis.from_url(server.url) as client:
            await until(lambda client=client: _is_joined(client))


async def join_replica(replica: RedisServer, primary: RedisServer) -> None:
    """Start a node and make it a replica of one that is in a cluster."""
    await replica.start()
    async with Redis.from_url(primary.url) as of, Redis.from_url(replica.url) as client:
        bus_port = (await of.config_get("cluster-port"))["cluster-port"]
        await _command(client, "CLUSTER MEET", HOST, primary.port, str(bus_port))
        primary_id = cast("bytes", await _command(of, "CLUSTER MYID")).decode()
        await until(lambda: _replicates(client, primary_id))


async def _replicates(client: Redis, primary_id: str) -> bool:
    try:
        await _command(client, "CLUSTER REPLICATE", primary_id)
    except ResponseError:  # it has not heard of the primary yet
        return False
    return bool((await client.info("replication"))["master_link_status"] == "up")


async def promote(replica: RedisServer) -> None:
    """Give a replica in a cluster the slots of its primary, which is dead."""
    async with Redis.from_url(replica.url) as client:
        await _command(client, "CLUSTER FAILOVER", "TAKEOVER")
        await until(lambda: _is_joined(client))


async def _is_joined(client: Redis) -> bool:
    return "'cluster_state': 'ok'" in str(await _command(client, "CLUSTER INFO"))


async def _command(client: Redis, *words: str | int) -> object:
    answer = await client.execute_command(*words)  # type: ignore[no-untyped-call]  # in redis-py
    return cast("object", answer)


async def _until_it_answers(url: str) -> None:
    async with Redis.from_url(url) as client:
        await until(lambda: _answers(client))


async def _answers(client: Redis) -> bool:
    try:
        return bool(await client.ping())
    except (RedisError, OSError):
        return False
