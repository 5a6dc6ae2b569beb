import asyncio

import pytest

from common.clock import ManualClock
from common.cluster.memory import MemoryDirectory, MemoryTable
from common.cluster.records import NodeLoad, NodeRecord, NodeRole, NodeState
from common.ids import NodeId
from common.supervisor.reporter import NodeReporter
from tests.support.wait import until

NODE = NodeId("n1")


class Case:
    def __init__(self, period_s: float) -> None:
        self.table = MemoryTable()
        self.state = NodeState.SERVING
        directory = MemoryDirectory(ManualClock(), table=self.table)
        self.reporter = NodeReporter(directory, NODE, self.describe, period_s)

    def describe(self) -> tuple[NodeRecord, NodeLoad]:
        record = NodeRecord(id=NODE, role=NodeRole.EDGE, state=self.state, rtmp="h:1", admin="h:2")
        return record, NodeLoad(node=NODE)

    def known(self) -> NodeState | None:
        node = self.table.nodes.get(NODE)
        return node.record.state if node else None


async def test_a_node_is_known_until_it_has_finished() -> None:
    case = Case(period_s=3600)
    assert case.reporter.problem
    running = asyncio.create_task(case.reporter.run())
    await until(lambda: case.known() is NodeState.SERVING)
    assert case.reporter.problem == ""
    case.reporter.finish()
    await running
    assert case.known() is None


async def test_a_reporter_that_another_follows_leaves_the_record_to_it() -> None:
    case = Case(period_s=3600)
    running = asyncio.create_task(case.reporter.run())
    await until(lambda: case.known() is NodeState.SERVING)
    case.reporter.finish(leave=False)
    await running
    assert case.known() is NodeState.SERVING


async def test_a_change_is_written_at_once() -> None:
    case = Case(period_s=3600)
    running = asyncio.create_task(case.reporter.run())
    await until(lambda: case.known() is not None)
    case.state = NodeState.DRAINING
    case.reporter.hurry()
    await until(lambda: case.known() is NodeState.DRAINING)
    case.reporter.finish()
    await running


async def test_a_record_is_renewed() -> None:
    case = Case(period_s=0.01)
    running = asyncio.create_task(case.reporter.run())
    await until(lambda: case.known() is not None)
    case.table.flush()
    await until(lambda: case.known() is not None)
    case.reporter.finish()
    await running


async def test_a_table_that_is_away_is_noted_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    case = Case(period_s=0.01)
    case.table.go_down()
    running = asyncio.create_task(case.reporter.run())
    await until(lambda: case.reporter.problem.startswith("unreachable since 2"))
    case.table.come_back()
    await until(lambda: case.known() is not None)
    assert case.reporter.problem == ""
    case.table.go_down()
    await until(lambda: case.reporter.problem != "")
    case.reporter.finish()
    await running
    # Once for each time it went away, however often it was tried.
    assert caplog.text.count("routing table cannot be reached") == 2


async def test_an_error_that_nobody_thought_of_ends_neither_the_reports_nor_the_node(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(period_s=0.01)
    tries = 0

    async def put_node(directory: MemoryDirectory, record: NodeRecord, load: NodeLoad) -> None:
        nonlocal tries
        tries += 1
        raise RuntimeError("the client is in a state of its own")

    with monkeypatch.context() as broken:
        broken.setattr(MemoryDirectory, "put_node", put_node)
        running = asyncio.create_task(case.reporter.run())
        await until(lambda: tries > 2)
        assert case.reporter.problem.startswith("not written since 2")
    await until(lambda: case.known() is not None)
    assert case.reporter.problem == ""
    case.reporter.finish()
    await running
    assert caplog.text.count("node record cannot be written") == 1
