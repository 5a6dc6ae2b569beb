"""Checks between settings: each alone may be fine and together they make no sense."""

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from common.config.model import RedisSettings, Settings

RELAY_PORT_TRIES: Final = 4
"""How many ports a worker may need for relays: former ones hold theirs until they have retired.

Generations that live at the same time; a fifth one finds no port and fails to start.
"""

_MAX_PORT: Final = 65_535


def cross_checks(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield each contradiction as the setting to look at first and a sentence."""
    yield from _order_checks(settings)
    yield from _redis_checks(settings.redis)
    if problem := relay_ports_problem(settings.relay.port_base, settings.node.workers or 1):
        yield "relay.port_base", problem


def relay_ports_problem(base: int, workers: int) -> str:
    """Return what is wrong with ports for relays from ``base`` on, or nothing.

    How many workers there are is known for sure only on the machine they run on.
    """
    highest = base + RELAY_PORT_TRIES * workers - 1
    if not base or highest <= _MAX_PORT:
        return ""
    reloads = RELAY_PORT_TRIES - 1
    return (
        f"is too high: {workers} workers and those that follow them in {reloads} reloads "
        f"need the ports up to {highest}, and the last is {_MAX_PORT}"
    )


def _order_checks(settings: Settings) -> Iterator[tuple[str, str]]:
    lease, relay, supervisor = settings.lease, settings.relay, settings.supervisor
    fanout, rtmp = settings.fanout, settings.rtmp
    if lease.renew_s >= lease.ttl_s:
        yield "lease.renew_s", f"must be less than lease.ttl_s ({lease.ttl_s:g})"
    if relay.backoff_min_s > relay.backoff_max_s:
        yield "relay.backoff_min_s", f"must not be over relay.backoff_max_s ({relay.backoff_max_s})"
    if supervisor.backoff_min_s > supervisor.backoff_max_s:
        limit = f"supervisor.backoff_max_s ({supervisor.backoff_max_s:g})"
        yield "supervisor.backoff_min_s", f"must not be over {limit}"
    if supervisor.heartbeat_s >= supervisor.heartbeat_timeout_s:
        limit = f"supervisor.heartbeat_timeout_s ({supervisor.heartbeat_timeout_s:g})"
        yield "supervisor.heartbeat_s", f"must be less than {limit}"
    if fanout.min_interval_ms > fanout.max_interval_ms:
        limit = f"fanout.max_interval_ms ({fanout.max_interval_ms:g})"
        yield "fanout.min_interval_ms", f"must not be over {limit}"
    if rtmp.max_partial_bytes < rtmp.max_message_bytes:
        limit = f"rtmp.max_message_bytes ({rtmp.max_message_bytes})"
        yield "rtmp.max_partial_bytes", f"must be at least {limit}: one whole message"


def _redis_checks(redis: RedisSettings) -> Iterator[tuple[str, str]]:
    url = urlsplit(redis.url.get_secret_value())
    if redis.mode == "sentinel" and not redis.sentinels:
        yield "redis.sentinels", "must name at least one sentinel when redis.mode is sentinel"
    if redis.mode != "sentinel" and redis.sentinels:
        yield "redis.sentinels", f"has no use when redis.mode is {redis.mode}"
    if redis.mode != "single" and url.scheme == "unix":
        yield "redis.url", f"must not be a Unix socket when redis.mode is {redis.mode}"
    elif redis.mode == "cluster" and url.path.strip("/") not in ("", "0"):
        yield "redis.url", "must not name a database: a Redis Cluster has only database 0"
    passwords = {
        "redis.password": bool(redis.password.get_secret_value()),
        "redis.password_file": redis.password_file is not None,
        "the one in redis.url": bool(url.password),
    }
    given = [name for name, is_given in passwords.items() if is_given]
    if len(given) > 1:
        yield given[0], f"and {' and '.join(given[1:])} are both given: keep one"
    if (redis.tls_cert_file is None) != (redis.tls_key_file is None):
        yield "redis.tls_cert_file", "and redis.tls_key_file must be given together"
    if url.scheme != "rediss" and (redis.tls_ca_file or redis.tls_cert_file):
        yield "redis.url", "must begin with rediss:// when TLS files are given"
