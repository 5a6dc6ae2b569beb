"""`headwater probe` against real nodes: what it says of those that work and those that do not."""

import sys
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from common.cluster.records import NodeRole
from common.config.model import RedisSettings
from common.local.redis_server import HOST, free_port
from tests.support.publisher import open_publisher
from tests.support.real_node import RealNode, running_node

pytestmark = pytest.mark.integration


@pytest.fixture
async def nodes(redis_settings: RedisSettings) -> AsyncIterator[tuple[RealNode, RealNode]]:
    """An origin that keeps its first publishers, and an edge."""
    url, prefix = redis_settings.url.get_secret_value(), redis_settings.key_prefix
    settings = (f"redis.key_prefix={prefix}", "publish.policy=reject", "edge.hold_s=0.2")
    async with AsyncExitStack() as stack:
        origin = await stack.enter_async_context(
            running_node(NodeRole.ORIGIN, "origin", url, *settings)
        )
        edge = await stack.enter_async_context(running_node(NodeRole.EDGE, "edge", url, *settings))
        yield origin, edge


async def run(*arguments: str) -> tuple[int | None, str, str]:
    process = await create_subprocess_exec(
        *(sys.executable, "-m", "common.cli", "probe", *arguments), stdout=PIPE, stderr=PIPE
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_a_cluster_that_carries_a_stream(nodes: tuple[RealNode, RealNode]) -> None:
    origin, edge = nodes
    code, out, err = await run(origin.url("live/probe"), edge.url("live/probe"), "--seconds", "0.4")
    assert (code, err) == (0, "")
    assert "frames published and played: first picture after" in out


async def test_a_stream_that_does_not_come(nodes: tuple[RealNode, RealNode]) -> None:
    origin, edge = nodes
    code, out, err = await run(origin.url("live/probe"), edge.url("live/other"))
    assert (code, out) == (1, "")
    assert err.startswith(f"headwater: {edge.url('live/other')}: closed: NetStream.Play.StreamNotF")


async def test_a_publisher_that_is_refused(nodes: tuple[RealNode, RealNode]) -> None:
    origin, edge = nodes
    first = await open_publisher(origin.url("live/probe"))
    code, out, err = await run(origin.url("live/probe"), edge.url("live/probe"))
    first.close()
    assert (code, out) == (1, "")
    assert err.startswith(f"headwater: {origin.url('live/probe')}: closed: NetStream.Publish.BadN")


async def test_nobody_there(nodes: tuple[RealNode, RealNode]) -> None:
    _, edge = nodes
    code, _, err = await run(f"rtmp://{HOST}:{free_port()}/live/probe", edge.url("live/probe"))
    assert code == 1
    assert "refused" in err.lower()


async def test_an_answer_that_does_not_come_in_time(nodes: tuple[RealNode, RealNode]) -> None:
    origin, edge = nodes
    urls = (origin.url("live/probe"), edge.url("live/probe"))
    code, _, err = await run(*urls, "--seconds", "60", "--timeout", "1")
    assert code == 1
    assert "of 1500 frames came in 1 s" in err
