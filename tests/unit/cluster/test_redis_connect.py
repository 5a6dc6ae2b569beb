from pathlib import Path

import pytest
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection
from redis.asyncio.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection

from common.cluster.redis_connect import RedisTarget, connect
from common.config.model import RedisSettings
from common.errors import ConfigError


def target_of(**values: object) -> RedisTarget:
    return connect(RedisSettings.model_validate(values))


def options_of(**values: object) -> dict[str, object]:
    client = target_of(**values).client
    assert isinstance(client, Redis)
    return client.connection_pool.connection_kwargs


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text("from file\n")
    return file


def test_the_url_says_where_and_as_whom() -> None:
    options = options_of(url="redis://me:p%40ss@redis.example:6380/7")
    expected = ("redis.example", 6380, 7, "me", "p@ss")
    assert (
        tuple(options[name] for name in ("host", "port", "db", "username", "password")) == expected
    )


def test_user_and_password_of_the_url_win_over_those_of_the_settings(secret_file: Path) -> None:
    own = {"username": "other", "password": "other", "password_file": secret_file}
    options = options_of(url="redis://me:mine@h/0", **own)
    assert (options["username"], options["password"]) == ("me", "mine")
    options = options_of(url="redis://h/0", **own)
    assert (options["username"], options["password"]) == ("other", "from file")


def test_without_any_password_none_is_sent() -> None:
    assert not {"username", "password"} & options_of(url="redis://h/0").keys()


def test_no_call_is_tried_twice_by_itself() -> None:
    assert options_of(url="redis://h/0")["retry"].get_retries() == 0
    cluster = target_of(url="redis://h/0", mode="cluster").client
    assert isinstance(cluster, RedisCluster)
    assert cluster.retry.get_retries() == 0


def test_tls_files_go_with_rediss() -> None:
    client = target_of(
        url="rediss://h/0", tls_ca_file="ca.pem", tls_cert_file="c.pem", tls_key_file="c.key"
    ).client
    pool = client.connection_pool
    assert pool.connection_class is SSLConnection
    assert pool.connection_kwargs["ssl_ca_certs"] == "ca.pem"
    assert pool.connection_kwargs["ssl_certfile"] == "c.pem"
    assert pool.connection_kwargs["ssl_keyfile"] == "c.key"


def test_a_unix_socket_is_used_for_unix() -> None:
    client = target_of(url="unix://:secret@/run/redis.sock?db=2").client
    assert client.connection_pool.connection_class is UnixDomainSocketConnection
    options = client.connection_pool.connection_kwargs
    assert (options["path"], options["db"], options["password"]) == ("/run/redis.sock", 2, "secret")


def test_sentinels_get_tls_and_a_password_of_their_own() -> None:
    client = target_of(
        url="rediss://:master@ignored/3",
        mode="sentinel",
        sentinels=["s1:26379", "[::1]:26380"],
        sentinel_password="sentinel",
        tls_ca_file="ca.pem",
        timeout_s=3,
    ).client
    pool = client.connection_pool
    assert pool.connection_class is SentinelManagedSSLConnection
    assert pool.connection_kwargs["password"] == "master"
    assert pool.connection_kwargs["db"] == 3
    sentinels = [one.connection_pool.connection_kwargs for one in pool.sentinel_manager.sentinels]
    assert [(one["host"], one["port"]) for one in sentinels] == [("s1", 26379), ("::1", 26380)]
    assert {one["password"] for one in sentinels} == {"sentinel"}
    assert {one["ssl_ca_certs"] for one in sentinels} == {"ca.pem"}
    assert {one["socket_timeout"] for one in sentinels} == {1}  # so that both can be asked


def test_without_tls_the_sentinels_master_is_reached_without() -> None:
    client = target_of(url="redis:///0", mode="sentinel", sentinels=["s1:26379"]).client
    assert client.connection_pool.connection_class is SentinelManagedConnection


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"url": "redis://h/0?socket_timeout=soon"}, "redis.url"),
        ({"url": "redis://h/first"}, "redis.url: the database"),
        ({"url": "redis://h/0", "tls_ca_file": "ca.pem"}, "redis.tls_"),
        ({"url": "redis://h/0", "password_file": "/nowhere/at/all"}, "redis.password_file"),
        ({"url": "redis://h/0", "mode": "sentinel"}, "redis.sentinels: empty"),
        ({"url": "unix:///a", "mode": "sentinel", "sentinels": ["a:1"]}, "redis.url: a unix"),
        ({"url": "unix:///a", "mode": "cluster"}, "redis.url: a cluster"),
        ({"url": "redis://h/1", "mode": "cluster"}, "redis.url: a cluster"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(
    values: dict[str, object], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        target_of(**values)


@pytest.mark.parametrize(
    ("values", "address"),
    [
        ({"url": "redis://me:secret@h:1/2"}, "redis://h:1/2"),
        ({"url": "redis://:secret@"}, "redis://localhost:6379/0"),
        ({"url": "rediss://:secret@[::1]:1/2?ssl_cert_reqs=none"}, "rediss://[::1]:1/2"),
        ({"url": "unix://me:secret@/run/r.sock?db=1"}, "unix:///run/r.sock"),
        ({"url": "redis://:secret@h:1", "mode": "cluster"}, "cluster at redis://h:1/0"),
        (
            {
                "url": "redis://:secret@",
                "mode": "sentinel",
                "sentinels": ["a:1", "b:2"],
                "sentinel_master": "main",
            },
            "main of sentinels a:1, b:2",
        ),
    ],
)
def test_the_address_that_people_see_has_no_secret(values: dict[str, object], address: str) -> None:
    assert target_of(**values).address == address
