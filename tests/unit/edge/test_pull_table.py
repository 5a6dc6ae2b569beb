"""A pull while the table hangs, or answers what nobody expects."""

import pytest

from common.cluster.records import ClusterEvent, EventKind
from tests.support.edge_worker import Edge, ends_with, streaming, with_edge
from tests.support.logged import logged
from tests.support.spine import turns
from tests.support.wait import until


async def test_relay_that_is_cut_while_the_table_hangs_waits_for_no_answer(edge: Edge) -> None:
    source, recorder = await streaming(edge)
    edge.table.announce(ClusterEvent(kind=EventKind.AWAY))
    await until(lambda: not edge.locator.directory_ok)
    other = await edge.source()
    edge.table.listeners.clear()
    await edge.claim(other)  # unannounced
    with edge.directory.held("lookup"):
        for number in (5, 6):
            for connection in source.connections:
                connection.abort("cut")
            await until(lambda: not source.relays)
            source.send("a", 1, first=number)
            await until(ends_with(recorder, f"a-{number}"))
        assert edge.directory.calls["lookup"] == 2, "one question at a time"
    # What comes of it is heeded all the same.
    await until(lambda: edge.locator.directory_ok)
    other.send("b", 5)
    await until(ends_with(recorder, "b-4"))


async def test_question_that_is_open_when_the_worker_ends_is_let_go(edge: Edge) -> None:
    source, _ = await streaming(edge)
    edge.table.announce(ClusterEvent(kind=EventKind.AWAY))
    await until(lambda: not edge.locator.directory_ok)
    with edge.directory.held("lookup"):
        source.end()
        await until(lambda: edge.directory.calls["lookup"] == 2)
        await edge.streams.close()
        await edge.locator.close()
        await turns()
        assert not edge.locator._asking


@with_edge(recheck_s=0.05)
async def test_nothing_ends_the_periodic_check(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    _, recorder = await streaming(edge)
    edge.directory.failures = [ValueError("nobody expects this")]
    await until(lambda: not edge.directory.failures)
    other = await edge.source()
    other.send("b", 5)
    edge.table.listeners.clear()
    await edge.claim(other)  # unannounced
    await until(ends_with(recorder, "b-4"))
    assert "checking the source failed" in logged(caplog)
