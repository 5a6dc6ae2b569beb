"""The port of a worker for relays, as an origin opens it."""

import socket
from contextlib import ExitStack
from dataclasses import replace

import pytest

from common.clock import SystemClock
from common.cluster.memory import MemoryDirectory
from common.cluster.records import NodeRole
from common.config.address import split_address
from common.config.checks import RELAY_PORT_TRIES
from common.config.model import Settings
from common.errors import ConfigError
from common.local.redis_server import HOST
from common.supervisor.app import WorkerContext
from origin.app import OriginApp
from tests.support.spine import make_context, quick_settings

BASE = 28_000
WORKERS = 3
SLOT = 1


def free_base() -> int:
    """Return a port from which on all that a worker may try are free."""
    for base in range(BASE, 60_000, 50):
        try:
            with ExitStack() as held:
                for n in range(WORKERS * RELAY_PORT_TRIES):
                    held.enter_context(socket.create_server((HOST, base + n)))
        except OSError:
            continue
        return base
    raise AssertionError("no free ports")


def context(generation: int, base: int, **changes: str) -> WorkerContext:
    relay = quick_settings().relay.model_dump() | {"port_base": base} | changes
    settings: Settings = quick_settings(relay=relay)
    made = make_context(NodeRole.ORIGIN, settings, slot=SLOT)
    return replace(made, generation=generation, workers=WORKERS)


async def relay_address(context: WorkerContext) -> str:
    app = OriginApp(context, MemoryDirectory(SystemClock()))
    try:
        await app.start()
        return app._role.relay_address
    finally:
        await app.stop()


async def relay_port(generation: int, base: int) -> int:
    address = await relay_address(context(generation, base))
    return int(address.rpartition(":")[2])


async def test_a_worker_serves_relays_on_the_port_of_its_slot() -> None:
    base = free_base()
    for generation in (0, 1):
        assert await relay_port(generation, base) == base + SLOT


async def test_after_a_reload_it_takes_the_next_port_that_no_former_worker_holds() -> None:
    base = free_base()
    with ExitStack() as former:
        for n in range(RELAY_PORT_TRIES - 1):
            former.enter_context(socket.create_server((HOST, base + SLOT + n * WORKERS)))
            assert await relay_port(1, base) == base + SLOT + (n + 1) * WORKERS
        last = base + SLOT + (RELAY_PORT_TRIES - 1) * WORKERS
        former.enter_context(socket.create_server((HOST, last)))
        with pytest.raises(ConfigError, match=rf"relay\.port_base: cannot listen on .*:{last}"):
            await relay_port(1, base)


async def test_at_a_start_a_port_in_use_is_an_error() -> None:
    base = free_base()
    with (
        socket.create_server((HOST, base + SLOT)),
        pytest.raises(ConfigError, match="another process uses this port"),
    ):
        await relay_port(0, base)


async def test_a_relay_address_of_ipv6_has_brackets() -> None:
    address = await relay_address(replace(context(0, 0), advertise_host="2001:db8::7"))
    assert address.startswith("[2001:db8::7]:")


async def test_a_host_that_cannot_be_had_is_told_by_its_setting() -> None:
    with pytest.raises(ConfigError, match=r"relay\.listen_host: cannot listen on nosuch\."):
        await relay_address(context(0, 0, listen_host="nosuch.invalid"))


@pytest.mark.parametrize("host", ["127.0.0.2", "::1"])
async def test_by_default_relays_come_in_where_clients_do(host: str) -> None:
    app = OriginApp(
        replace(context(0, 0, listen_host=""), rtmp_host=host, advertise_host=host),
        MemoryDirectory(SystemClock()),
    )
    try:
        await app.start()
        reached, port = split_address(app._role.relay_address)
        socket.create_connection((reached, port), timeout=5).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, port), timeout=5)
    finally:
        await app.stop()
