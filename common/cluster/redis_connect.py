"""From settings to a Redis client: single server, Sentinel or Cluster.

Secrets go into the client and nowhere else: `RedisTarget.address` is what logs and errors show.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.connection import ConnectionPool, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

from common.config.address import join_address, split_address
from common.config.model import RedisSettings
from common.errors import ConfigError

RedisClient = Redis | RedisCluster

AWAY = (RedisError, RedisClusterException, OSError, TimeoutError)
"""Everything that redis-py raises when Redis does not do what was asked in time."""

_CLOSED_TRANSPORT = "the handler is closed"

Options = dict[str, Any]  # keyword arguments of redis-py, which takes them untyped

# Connections beyond those for commands: the ones that listen for announcements.
_LISTENERS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisTarget:
    """A client and the name under which people may read of it."""

    client: RedisClient
    address: str


def reason_of(error: BaseException) -> str:
    """Say in a line why Redis did not do what was asked; ``error`` is one of `AWAY`."""
    # When no master is found redis-py adds a dump of each sentinel's client after this mark.
    return str(error).partition(" : <")[0] or "no answer in time"


@contextmanager
def uvloop_errors() -> Iterator[None]:
    """Raise, for what uvloop says of a connection that was reset while idle, what asyncio would.

    uvloop's transports refuse a write after a reset with a RuntimeError, which redis-py does not
    take for the loss of a connection; asyncio's own raise the reset itself at the next drain.
    """
    try:
        yield
    except RuntimeError as error:
        if _CLOSED_TRANSPORT not in str(error):
            raise
        raise ConnectionResetError("connection was reset") from error


def connect(settings: RedisSettings) -> RedisTarget:
    """Make the client that ``settings`` ask for; it opens connections when first used.

    Reads the password file. Raises `ConfigError` for settings that contradict each other and for
    a file that cannot be read.
    """
    url = _url_options(settings)
    options: Options = {
        **url,
        **_credentials(settings, url),
        **_tls_files(settings),
        **_behaviour(settings),
        "max_connections": settings.max_connections + _LISTENERS,
    }
    match settings.mode:
        case "single":
            client: RedisClient = Redis.from_pool(ConnectionPool(**options))
            return RedisTarget(client=client, address=_address(url))
        case "sentinel":
            address = f"{settings.sentinel_master} of sentinels {', '.join(settings.sentinels)}"
            return RedisTarget(client=_sentinel(settings, options), address=address)
        case "cluster":
            options.update(_share_of_deadline(settings, 3))
            return RedisTarget(client=_cluster(options), address=f"cluster at {_address(url)}")


def _url_options(settings: RedisSettings) -> Options:
    url = settings.url.get_secret_value()
    try:
        options: Options = dict(parse_url(url))
        database = urlsplit(url).path.strip("/")
    except ValueError:
        # The reason would show the piece of the URL that did not fit, often part of a password.
        raise ConfigError(
            [
                "redis.url: not of the form redis://user:password@host:port/database"
                " (in a password, special characters must be percent-encoded)"
            ]
        ) from None
    if "path" not in options and database and not database.isdecimal():
        raise ConfigError(["redis.url: the database after the host must be a number"])
    return options


def _credentials(settings: RedisSettings, url: Options) -> Options:
    # What the URL says wins; a file wins over a password in the settings.
    options: Options = {}
    if settings.username and "username" not in url:
        options["username"] = settings.username
    if "password" not in url:
        password = settings.password.get_secret_value()
        if settings.password_file is not None:
            password = _read_secret(settings.password_file)
        if password:
            options["password"] = password
    return options


def _read_secret(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"redis.password_file: {path} cannot be read: {error}"]) from error


def _tls_files(settings: RedisSettings) -> Options:
    files = {
        "ssl_ca_certs": settings.tls_ca_file,
        "ssl_certfile": settings.tls_cert_file,
        "ssl_keyfile": settings.tls_key_file,
    }
    options: Options = {name: str(path) for name, path in files.items() if path is not None}
    if options and not settings.url.get_secret_value().startswith("rediss:"):
        raise ConfigError(["redis.tls_*: only with a rediss:// URL"])
    return options


def _behaviour(settings: RedisSettings) -> Options:
    return {
        # The deadline of each call stands above it. One per socket would come on top and, by
        # asyncio.wait_for before Python 3.12, could swallow a cancellation.
        "socket_timeout": None,
        "socket_connect_timeout": settings.connect_timeout_s,
        # The callers decide when to try again: the deadline of a call is one try's.
        "retry": Retry(NoBackoff(), 0),
        # RESP3 would switch on the push messages of managed clouds, which stretch timeouts.
        "protocol": 2,
        # No CLIENT SETINFO: two round trips that a narrow ACL user may not even do.
        "driver_info": None,
    }


def _share_of_deadline(settings: RedisSettings, parts: int) -> Options:
    # Where redis-py asks one server after the other, one that hangs must not use up the deadline
    # of the call: the others would never be asked.
    share_s = settings.timeout_s / parts
    connect_s = min(settings.connect_timeout_s, share_s)
    return {"socket_timeout": share_s, "socket_connect_timeout": connect_s}


def _sentinel(settings: RedisSettings, options: Options) -> Redis:
    if not settings.sentinels:
        raise ConfigError(["redis.sentinels: empty, though redis.mode is sentinel"])
    if "path" in options:
        raise ConfigError(["redis.url: a unix socket cannot be used with sentinels"])
    for unused in ("host", "port"):  # the sentinels know the address
        options.pop(unused, None)
    options["ssl"] = options.pop("connection_class", None) is SSLConnection
    tls: Options = {name: value for name, value in options.items() if name.startswith("ssl")}
    for_sentinels: Options = {
        **tls,
        **_behaviour(settings),
        **_share_of_deadline(settings, len(settings.sentinels) + 1),
    }
    if password := settings.sentinel_password.get_secret_value():
        for_sentinels["password"] = password
    addresses = [split_address(sentinel) for sentinel in settings.sentinels]
    sentinel = Sentinel(  # type: ignore[no-untyped-call]  # redis-py left it without types
        addresses, sentinel_kwargs=for_sentinels
    )
    master = sentinel.master_for(
        settings.sentinel_master, connection_pool_class=_MasterPool, **_pool_options(options)
    )
    return cast("Redis", master)


class _MasterPool(SentinelConnectionPool):
    """Closes the connections to the sentinels with its own, which redis-py leaves open."""

    async def aclose(self) -> None:
        await super().aclose()
        await self.sentinel_manager.aclose()


def _pool_options(options: Options) -> Options:
    # A plain connection refuses the TLS options, even the one that says "off".
    if options["ssl"]:
        return options
    return {name: value for name, value in options.items() if not name.startswith("ssl")}


def _cluster(options: Options) -> RedisCluster:
    if "path" in options or options.get("db"):
        raise ConfigError(["redis.url: a cluster has neither unix sockets nor databases"])
    options["ssl"] = options.pop("connection_class", None) is SSLConnection
    options.setdefault("host", "localhost")
    return RedisCluster(**options)


def _address(url: Options) -> str:
    if "path" in url:
        return f"unix://{url['path']}"
    scheme = "rediss" if url.get("connection_class") is SSLConnection else "redis"
    server = join_address(url.get("host", "localhost"), url.get("port", 6379))
    return f"{scheme}://{server}/{url.get('db', 0)}"
