"""A healthcheck against the admin port as it is."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from common.admin.health import NodeHealth
from common.admin.server import AdminServer
from common.cli.healthcheck import NotWell, ask
from common.cli.options import Question
from common.config.address import join_address
from common.local.redis_server import HOST, free_port

READY = NodeHealth(workers=2, ready_workers=2, started=True)


class Node:
    """An admin port and how the node is."""

    def __init__(self) -> None:
        self.health = READY
        self.port = 0

    async def ask(self, question: Question, host: str = HOST) -> str:
        return await asyncio.to_thread(ask, question, join_address(host, self.port), 5.0)


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    node = Node()
    server = AdminServer(HOST, 0, health=lambda: node.health, metrics=bytes, status=dict)
    node.port = await server.start()
    yield node
    await server.stop()


@pytest.mark.parametrize("host", [HOST, "0.0.0.0", "localhost"])
async def test_each_question_has_its_answer(node: Node, host: str) -> None:
    answers = [await node.ask(question, host) for question in Question]
    assert answers == ["live", "ready", "started"]


async def test_a_node_that_drains_is_alive_and_not_ready(node: Node) -> None:
    node.health = replace(READY, draining=True)
    assert await node.ask(Question.LIVE) == "live"
    with pytest.raises(NotWell, match="not ready: draining"):
        await node.ask(Question.READY)


async def test_a_node_that_starts_is_alive_and_not_started(node: Node) -> None:
    node.health = replace(READY, started=False, ready_workers=1)
    assert await node.ask(Question.LIVE) == "live"
    with pytest.raises(NotWell, match="1 of 2 workers ready"):
        await node.ask(Question.STARTED)


async def test_who_does_not_answer_is_not_well() -> None:
    silent = await asyncio.start_server(lambda _, writer: writer.close(), HOST, 0)
    async with silent:
        port = silent.sockets[0].getsockname()[1]
        for address in (f"{HOST}:{port}", f"{HOST}:{free_port()}"):
            with pytest.raises(NotWell, match=f"no answer from {HOST}"):
                await asyncio.to_thread(ask, Question.LIVE, address, 5.0)


def test_a_port_that_the_node_has_chosen_cannot_be_known() -> None:
    with pytest.raises(NotWell, match=r"admin\.listen"):
        ask(Question.LIVE, f"{HOST}:0", 1.0)
