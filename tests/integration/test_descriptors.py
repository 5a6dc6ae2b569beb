"""A node that may open few files: who is there stays, who comes too late is told at once."""

import re
import socket
from contextlib import ExitStack

import pytest

from common.cluster.records import NodeRole
from tests.support.nodes import Encoder
from tests.support.publisher import open_publisher
from tests.support.real_node import RealNode, running_node
from tests.support.wait import until
from tests.support.watcher import watching

pytestmark = pytest.mark.integration

MAX_FILES = 128
CLIENTS = 300


def connect(node: RealNode) -> socket.socket:
    """Connect, and wait for nothing."""
    host, _, port = node.info.rtmp.rpartition(":")
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex((host, int(port)))
    return client


def is_closed(client: socket.socket) -> bool:
    """Say whether the node has closed a connection."""
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def figure(metrics: str, name: str) -> float:
    found = re.search(rf"^headwater_{name} (\S+)$", metrics, re.MULTILINE)
    assert found is not None, name
    return float(found[1])


async def test_a_node_near_its_limit_refuses_new_clients_and_recovers(redis_url: str) -> None:
    async with running_node(NodeRole.ORIGIN, "few", redis_url, max_files=MAX_FILES) as node:
        assert node.logged("open files", f"limit={MAX_FILES}")
        encoder = Encoder(await open_publisher(node.url()), "a")
        async with watching(node.url()) as watcher:
            await watcher.until_more()
            with ExitStack() as crowd:
                clients = [crowd.enter_context(connect(node)) for _ in range(CLIENTS)]
                await until(lambda: sum(map(is_closed, clients)) > CLIENTS - MAX_FILES)
                await until(lambda: node.logged("connection refused", "too_few_descriptors"))
                assert not all(map(is_closed, clients))

                await watcher.until_more(200)
                assert not encoder.publisher.closed.done()
                await until(lambda: has_many(node))
            await until(lambda: has_few(node))  # its figures are those of its last heartbeat
            async with watching(node.url()) as later:
                await later.until_more()
            await watcher.until_more()
        await encoder.stop()
        assert [worker["pid"] for worker in await node.workers()] == list(node.info.workers)
        assert not node.logged("Traceback")


async def has_many(node: RealNode) -> bool:
    metrics = await node.metrics()
    assert figure(metrics, "open_files_limit") == MAX_FILES
    return MAX_FILES / 2 <= figure(metrics, "open_files") < MAX_FILES


async def has_few(node: RealNode) -> bool:
    return figure(await node.metrics(), "open_files") < MAX_FILES / 2
