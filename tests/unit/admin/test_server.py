import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace

import aiohttp
import pytest
import pytest_asyncio

from common.admin import server as server_module
from common.admin.health import Component, NodeHealth
from common.admin.server import AdminServer
from common.local.redis_server import free_port

SERVING = NodeHealth(workers=2, ready_workers=2, started=True)
REDIS_DOWN = Component(name="redis", ok=False, reason="unreachable since 2026-01-31T10:00:00Z")


class Node:
    """What a supervisor would tell."""

    health = SERVING

    def metrics(self) -> bytes:
        return b"headwater_streams 1\n"

    def status(self) -> Mapping[str, object]:
        return {"node": "edge-1", "workers": [{"pid": 1, "slot": 0}]}


@dataclass
class Running:
    node: Node
    port: int
    client: aiohttp.ClientSession

    async def get(self, path: str, method: str = "GET") -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.port}{path}"
        async with self.client.request(method, url) as response:
            return response.status, (await response.text()).strip()


@pytest_asyncio.fixture
async def running() -> AsyncIterator[Running]:
    node = Node()
    server = AdminServer(
        "127.0.0.1", 0, health=lambda: node.health, metrics=node.metrics, status=node.status
    )
    port = await server.start()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as client:
        yield Running(node, port, client)
    await server.stop()


async def send(port: int, data: bytes) -> bytes:
    """Send raw bytes and return all that comes until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    try:
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("health", "live", "ready", "started"),
    [
        (SERVING, (200, "live"), (200, "ready"), (200, "started")),
        (
            replace(SERVING, components=(REDIS_DOWN,)),  # degraded fails no probe
            (200, "live"),
            (200, "ready"),
            (200, "started"),
        ),
        (
            replace(SERVING, ready_workers=1, started=False),
            (200, "live"),
            (200, "ready"),
            (503, "starting: 1 of 2 workers ready"),
        ),
        (
            replace(SERVING, ready_workers=0),
            (200, "live"),
            (503, "not ready: none of 2 workers is ready"),
            (200, "started"),
        ),
        (
            replace(SERVING, draining=True),
            (200, "live"),
            (503, "not ready: draining"),
            (200, "started"),
        ),
    ],
)
async def test_probes_answer_three_different_questions(
    running: Running,
    health: NodeHealth,
    live: tuple[int, str],
    ready: tuple[int, str],
    started: tuple[int, str],
) -> None:
    running.node.health = health
    assert await running.get("/livez") == live
    assert await running.get("/readyz") == ready
    assert await running.get("/startupz") == started


async def test_pages_have_their_content(running: Running) -> None:
    base = f"http://127.0.0.1:{running.port}"
    async with running.client.get(f"{base}/healthz") as response:
        assert (await response.json())["status"] == "ok"
    async with running.client.get(f"{base}/status") as response:
        assert (await response.json())["workers"] == [{"pid": 1, "slot": 0}]
    async with running.client.get(f"{base}/metrics") as response:
        assert await response.read() == b"headwater_streams 1\n"
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Server"] == "headwater"


@pytest.mark.parametrize("path", ["/", "/status/", "/etc/passwd", "/%2e%2e/x", "//metrics"])
async def test_nothing_else_is_served(running: Running, path: str) -> None:
    assert await running.get(path) == (404, "not found")


@pytest.mark.parametrize(
    "target",
    [
        *("/metrics/../readyz", "/metrics%3F/../readyz", "/metrics%23/../readyz"),
        *("/metrics;/../readyz", "/metrics%00/../readyz", "/metrics%2F..%2Freadyz", "//readyz"),
    ],
)
async def test_what_a_proxy_may_take_for_readiness_is_no_other_page(
    running: Running, target: str
) -> None:
    # Ingress controllers compare the path after resolving dots and escapes, and send it as it came.
    answer = await send(running.port, f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
async def test_other_methods_are_refused(running: Running, method: str) -> None:
    assert (await running.get("/status", method))[0] == 405


async def test_head_has_no_body(running: Running) -> None:
    answer = await send(running.port, b"HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n")


async def test_a_page_that_fails_is_a_500_and_the_port_goes_on(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Node, "health", None)
    assert await running.get("/healthz") == (500, "internal error")
    assert (await running.get("/livez"))[0] == 200


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00garbage\r\n\r\n",
        b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 1000 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\na: " + b"b" * 10_000 + b"\r\n\r\n",
    ],
)
async def test_malformed_and_oversize_requests_are_closed_without_noise(
    running: Running, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await send(running.port, data)
    assert answer.startswith(b"HTTP/1.") or answer == b""
    assert b" 200 " not in answer
    assert caplog.records == []
    assert (await running.get("/livez"))[0] == 200


async def test_a_body_that_never_comes_is_not_waited_for(running: Running) -> None:
    request = b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
    assert (await send(running.port, request)).startswith(b"HTTP/1.1 200 ")


async def test_a_connection_that_dawdles_is_cut_off(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "CONNECTION_S", 0.01)
    assert await send(running.port, b"GET /livez HTTP/1.1\r\n") == b""


async def test_those_who_dawdle_keep_nobody_out(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "MAX_CONNECTIONS", 3)
    idle = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(3)]
    for _, writer in idle:
        writer.write(b"GET /livez")
    # The third's bytes come last: then all three are known.
    answer = await send(running.port, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(idle[0][0].readexactly(1), 5)
    for reader, writer in idle[1:]:
        writer.write(b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
    for _, writer in idle:
        writer.close()


async def test_stopping_ends_open_connections_and_frees_the_port() -> None:
    node = Node()
    server = AdminServer(
        "127.0.0.1", 0, health=lambda: node.health, metrics=node.metrics, status=node.status
    )
    await server.stop()  # not started: nothing to do
    port = await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /livez")
    await server.stop()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), 5)
    writer.close()
    with pytest.raises(OSError, match=r"refused|Connect"):
        await asyncio.open_connection("127.0.0.1", port)


@pytest.mark.parametrize("host", ["", "::", "0.0.0.0"])
async def test_all_addresses_are_those_of_ipv4_too(host: str) -> None:
    # Kubernetes asks a pod at its first address, which in a cluster of both families may be either.
    node = Node()
    server = AdminServer(
        host, free_port(), health=lambda: node.health, metrics=node.metrics, status=node.status
    )
    port = await server.start()
    try:
        assert (await send(port, b"GET /livez HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.")
    finally:
        await server.stop()
