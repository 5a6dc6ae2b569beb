"""Real connections by way of a load balancer, and those that only look whether a node lives."""

import logging
import socket
import struct

import pytest

from common.metrics import REGISTRY
from tests.support.rtmp_node import HOST, NetClient, Node, connected, running_node
from tests.support.wait import until
from tests.support.wire import C0C1

CLIENT = "203.0.113.7:51234"
TEXT = b"PROXY TCP4 203.0.113.7 10.0.0.1 51234 1935\r\n"
BINARY = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\x0a\0\0\1" + struct.pack(
    "!HH", 51234, 1935
)
LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
TRUSTED: dict[str, object] = {"proxy_trusted": [f"{HOST}/32"]}


@pytest.fixture(autouse=True)
def _log_all(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level(logging.DEBUG, logger="headwater")
    monkeypatch.setattr("common.logs.FloodGate.admit", lambda *_: 0)


def lines(caplog: pytest.LogCaptureFixture, level: int = logging.INFO) -> list[tuple[str, object]]:
    """Returns reason and peer of the lines of this level and above."""
    fields = [getattr(each, "fields", {}) for each in caplog.records if each.levelno >= level]
    return [(each["reason"], each.get("peer")) for each in fields if "reason" in each]


def count(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"headwater_{name}_total", labels) or 0.0


async def plays(node: Node, client: NetClient) -> None:
    client.ask_to_play()
    await client.until_media(b"K1")
    await node.until_viewers(1)


@pytest.mark.parametrize("header", [TEXT, BINARY], ids=["text", "binary"])
async def test_c9_a_proxied_client_plays_and_goes_by_its_own_address(header: bytes) -> None:
    async with running_node(rtmp=TRUSTED) as node, connected(node) as client:
        node.begin_stream()
        client.send(header)
        await plays(node, client)
        assert [each.peer for each in node.connections] == [CLIENT]


async def test_a_header_may_come_in_pieces_with_the_handshake_behind_it() -> None:
    async with running_node(rtmp=TRUSTED) as node, connected(node) as client:
        node.begin_stream()
        for byte in BINARY[:-1]:
            client.send(bytes((byte,)))
            before = node.services.registry.bytes_in
            await until(lambda before=before: node.services.registry.bytes_in > before)
        client.send(BINARY[-1:])
        await plays(node, client)
        assert [each.peer for each in node.connections] == [CLIENT]


async def test_the_log_tells_the_clients_address(caplog: pytest.LogCaptureFixture) -> None:
    async with running_node(rtmp=TRUSTED) as node, connected(node) as client:
        client.send(TEXT + b"GET / HTTP/1.1\r\n")
        await client.read_to_the_end()
        assert lines(caplog) == [("not_rtmp_http", CLIENT)]


@pytest.mark.parametrize("header", [TEXT, BINARY], ids=["text", "binary"])
@pytest.mark.parametrize("trusted", [[], ["198.51.100.0/24"]])
async def test_c9_a_header_from_elsewhere_is_refused(
    header: bytes, trusted: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with running_node(rtmp={"proxy_trusted": trusted}) as node, connected(node) as client:
        own = client.writer.get_extra_info("sockname")
        client.send(header + C0C1)
        await client.read_to_the_end()
        assert lines(caplog) == [("proxy_untrusted", f"{HOST}:{own[1]}")]


@pytest.mark.parametrize(
    ("said", "reason"),
    [(C0C1, "proxy_header_missing"), (b"PROXY TCP4 here\r\n", "proxy_header_malformed")],
)
async def test_without_a_sound_header_a_trusted_proxy_is_refused(
    said: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    refused = count("connections_refused", reason=reason)
    async with running_node(rtmp=TRUSTED) as node, connected(node) as client:
        client.send(said)
        await client.read_to_the_end()
        assert [reason for reason, _ in lines(caplog, logging.WARNING)] == [reason]
    assert count("connections_refused", reason=reason) == refused + 1


async def test_while_a_balancer_is_switched_over_both_kinds_of_client_come_in() -> None:
    async with (
        running_node(rtmp=TRUSTED | {"proxy_required": False}) as node,
        connected(node) as direct,
        connected(node) as proxied,
    ):
        node.begin_stream()
        direct.ask_to_play()
        proxied.send(TEXT)
        proxied.ask_to_play()
        await node.until_viewers(2)
        assert CLIENT in [each.peer for each in node.connections]


async def test_an_ipv4_client_of_a_socket_for_both_goes_by_its_ipv4_address() -> None:
    async with running_node(rtmp=TRUSTED) as node:
        node.begin_stream()
        node.port = await node.server.listen_tcp("::", 0, shared=True)
        async with connected(node) as balancer, connected(node) as client:
            own = balancer.writer.get_extra_info("sockname")
            await until(lambda: f"{HOST}:{own[1]}" in [each.peer for each in node.connections])
            client.send(TEXT)
            await plays(node, client)


async def test_relays_need_no_header() -> None:
    async with running_node(rtmp=TRUSTED) as node:
        node.begin_stream()
        node.port = await node.server.listen_tcp(HOST, 0, shared=False)
        async with connected(node) as relay:
            await plays(node, relay)


async def test_a_header_that_never_ends_is_closed_at_the_deadline_of_the_handshake(
    caplog: pytest.LogCaptureFixture,
) -> None:
    limits = TRUSTED | {"handshake_timeout_s": 0.2}
    async with running_node(rtmp=limits) as node, connected(node) as client:
        client.send(TEXT[:-1])
        await client.read_to_the_end()
        assert [reason for reason, _ in lines(caplog)] == ["handshake_timeout"]


# Looking whether we live


@pytest.mark.parametrize("is_reset", [False, True])
@pytest.mark.parametrize("check", [b"", LOCAL, TEXT], ids=["bare", "local", "text"])
async def test_a_balancer_that_connects_and_leaves_is_counted_and_logged_for_debugging_only(
    check: bytes, is_reset: bool, caplog: pytest.LogCaptureFixture
) -> None:
    probes = count("disconnects", kind="client", reason="probe")
    async with running_node(rtmp=TRUSTED if check else {}) as node:
        with socket.create_connection((HOST, node.port)) as probe:
            if is_reset:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            probe.send(check)
        await until(lambda: count("disconnects", kind="client", reason="probe") > probes)
    assert lines(caplog) == []
    assert [each.levelname for each in caplog.records if "probed" in each.message] == ["DEBUG"]


async def test_a_client_that_has_said_something_is_no_probe() -> None:
    ended = count("disconnects", kind="client", reason="eof")
    async with running_node() as node:
        with socket.create_connection((HOST, node.port)) as client:
            client.send(b"\x03")
        await until(lambda: count("disconnects", kind="client", reason="eof") > ended)


# Limits


async def test_more_clients_of_an_address_than_allowed_are_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with (
        running_node(rtmp=TRUSTED | {"max_per_address": 1}) as node,
        connected(node) as first,
        connected(node) as second,
        connected(node) as other,
    ):
        node.begin_stream()
        first.send(TEXT)
        await plays(node, first)
        second.send(TEXT + C0C1)
        await second.read_to_the_end()
        assert lines(caplog, logging.WARNING) == [("too_many_of_address", CLIENT)]
        other.send(TEXT.replace(b"113.7", b"113.8"))
        other.ask_to_play()
        await node.until_viewers(2)
        first.writer.transport.abort()
        await until(lambda: len(node.connections) == 1)
        async with connected(node) as again:
            again.send(TEXT)
            again.ask_to_play()
            await node.until_viewers(2)


async def test_without_a_proxy_it_is_the_address_of_the_connection() -> None:
    async with (
        running_node(rtmp={"max_per_address": 1}) as node,
        connected(node) as first,
        connected(node) as second,
    ):
        node.begin_stream()
        await plays(node, first)
        await second.read_to_the_end()


async def test_quiet_connections_are_kept_alive() -> None:
    async with running_node(rtmp={"keepalive_s": 40}) as node, connected(node):
        await until(lambda: bool(node.connections))
        sock = node.connections[0].transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        idle = getattr(socket, "TCP_KEEPIDLE", None) or socket.TCP_KEEPALIVE
        assert sock.getsockopt(socket.IPPROTO_TCP, idle) == 40
