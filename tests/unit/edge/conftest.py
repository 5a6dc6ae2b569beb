"""These tests run on the loop that workers run on, most of them with one edge worker."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
import uvloop

from tests.support.edge_worker import Edge
from tests.support.spine import quick_settings, short_folder, turns


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def sections() -> dict[str, dict[str, object]]:
    """What a test wants to have set otherwise."""
    return {}


@pytest.fixture
async def edge(sections: dict[str, dict[str, object]]) -> AsyncIterator[Edge]:
    with short_folder() as folder:
        async with AsyncExitStack() as stack:
            edge = Edge(quick_settings(**sections), folder, stack)
            edge.locator.start()
            await turns()
            yield edge
            await edge.streams.close()
            await edge.locator.close()
