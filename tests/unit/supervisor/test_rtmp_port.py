import asyncio
import socket

import pytest

from common.errors import ConfigError
from common.supervisor.rtmp_port import reserve_port


def listener(port: int) -> socket.socket:
    """Listen as a worker does."""
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    taken.bind(("127.0.0.1", port))
    taken.listen()
    return taken


def test_port_0_becomes_a_port_that_several_listeners_share() -> None:
    with (
        reserve_port("127.0.0.1:0") as (host, port),
        listener(port),
        listener(port),
        socket.create_connection((host, port), timeout=5),
    ):
        assert port != 0


async def test_the_reservation_itself_is_given_no_connection() -> None:
    with reserve_port("127.0.0.1:0") as (host, port):
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(host, port)
        with listener(port) as one:
            for _ in range(20):
                socket.create_connection((host, port), timeout=5).close()
                one.accept()[0].close()


@pytest.mark.parametrize("listens", [True, False], ids=["listening", "only reserved"])
def test_a_port_of_another_node_is_refused(listens: bool) -> None:
    with reserve_port("127.0.0.1:0") as (_, port), socket.socket() as worker:
        if listens:
            worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            worker.bind(("127.0.0.1", port))
            worker.listen()
        with (
            pytest.raises(ConfigError, match=r"rtmp\.listen: .*another process uses"),
            reserve_port(f"127.0.0.1:{port}"),
        ):
            pass


def test_connections_just_closed_do_not_keep_a_node_from_coming_back() -> None:
    with reserve_port("127.0.0.1:0") as (host, port), listener(port) as one:
        client = socket.create_connection((host, port), timeout=5)
        one.accept()[0].close()  # we close first: TIME_WAIT is on our side
        client.close()
    with reserve_port(f"127.0.0.1:{port}") as (_, again):
        assert again == port


def test_an_empty_host_means_all_addresses() -> None:
    with reserve_port(":0") as (host, _):
        assert host == "0.0.0.0"


@pytest.mark.parametrize("address", ["192.0.2.7:0", "no.such.host.invalid:1", "127.0.0.1:99999"])
def test_an_address_that_cannot_be_had_is_told(address: str) -> None:
    with pytest.raises(ConfigError, match=address), reserve_port(address):
        pass
