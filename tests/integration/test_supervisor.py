"""The supervisor with real processes and real signals."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from common.cluster.records import NodeRole
from common.config.model import Settings
from common.ids import NodeId
from common.supervisor.app import Post, WorkerContext
from common.supervisor.arbiter import Arbiter
from common.supervisor.crew import Outcome
from common.supervisor.exit_codes import ExitCode
from common.supervisor.generation import Phase
from common.supervisor.python_module import module_command, module_environment
from common.supervisor.rtmp_port import reserve_port
from common.supervisor.runtime_dir import open_runtime_dir
from common.supervisor.worker_process import WorkerExited
from tests.support.processes import is_alive
from tests.support.sleepy_role import (
    JOURNAL_ENV,
    MODE_ENV,
    MODULE,
    Journal,
    Mode,
    settings_for_tests,
)
from tests.support.wait import until

pytestmark = pytest.mark.integration


@dataclass
class Node:
    arbiter: Arbiter
    running: "asyncio.Task[Outcome]"
    port: int
    exits: list[WorkerExited]

    async def until_complete(self) -> None:
        await until(lambda: len(self.arbiter.ready_slots) == len(self.arbiter.processes) == 2)

    def pid(self, slot: int) -> int:
        """Return the pid of the worker in a slot, 0 when there is none."""
        pids = {worker.post: worker.pid for worker in self.arbiter.processes}
        return pids.get(Post(0, slot), 0)


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    path = tmp_path / "journal"
    monkeypatch.setenv(JOURNAL_ENV, str(path))
    return Journal(path)


@asynccontextmanager
async def node(settings: Settings | None = None) -> AsyncIterator[Node]:
    settings = settings or settings_for_tests()
    with (
        open_runtime_dir(None) as runtime_dir,
        reserve_port(settings.rtmp.listen) as (host, port),
    ):
        context = WorkerContext(
            settings=settings,
            role=NodeRole.ORIGIN,
            node=NodeId("test"),
            slot=0,
            workers=settings.node.workers,
            rtmp_host=host,
            rtmp_port=port,
            advertise_host=host,
            runtime_dir=runtime_dir,
        )
        exits: list[WorkerExited] = []
        arbiter = Arbiter(MODULE, context, exited=lambda e, _: exits.append(e))
        running = asyncio.create_task(arbiter.run())
        try:
            yield Node(arbiter, running, port, exits)
        finally:
            running.cancel()
            await asyncio.wait({running})


async def test_workers_share_the_port_and_know_each_other(journal: Journal) -> None:
    async with node() as n:
        await n.until_complete()
        pids = {n.pid(0), n.pid(1)}
        seen = set()
        async with asyncio.timeout(10):
            while seen != pids:
                reader, writer = await asyncio.open_connection("127.0.0.1", n.port)
                seen.add(int(await reader.read()))
                writer.close()
                await writer.wait_closed()
        await until(
            lambda: {e["slot"] for e in journal.events("members") if e["slots"] == [0, 1]} == {0, 1}
        )


async def test_heartbeats_bring_figures() -> None:
    async with node() as n:
        await until(lambda: [w.figures.status.viewers for w in n.arbiter.processes] == [1, 2])
        assert all(w.figures.vitals.memory_bytes > 1_000_000 for w in n.arbiter.processes)
        assert all(w.figures.vitals.open_fds > 3 for w in n.arbiter.processes)


async def test_a_killed_worker_is_replaced_in_its_slot(journal: Journal) -> None:
    async with node() as n:
        await n.until_complete()
        old, sibling = n.pid(0), n.pid(1)
        os.kill(old, signal.SIGKILL)
        await until(lambda: bool(n.exits))
        await n.until_complete()
        assert n.pid(0) != old
        assert n.pid(1) == sibling
        assert n.exits == [WorkerExited(Post(0, 0), old, -signal.SIGKILL, "")]

        def members() -> list[object]:
            return [e["slots"] for e in journal.events("members") if e["pid"] == sibling]

        # The sibling notes what it was told in its own time.
        await until(lambda: members()[-3:] == [[0, 1], [1], [0, 1]])


SHORT_SILENCE: dict[str, object] = {
    "heartbeat_s": 0.05,
    "heartbeat_timeout_s": 0.5,
    "backoff_min_s": 0.02,
}


async def test_a_stopped_worker_is_killed_and_replaced() -> None:
    async with node(settings_for_tests(supervisor=SHORT_SILENCE)) as n:
        await n.until_complete()
        old = n.pid(0)
        os.kill(old, signal.SIGSTOP)
        await until(lambda: bool(n.exits))
        # SIGABRT waits for a stopped process to continue, SIGKILL does not.
        assert n.exits == [WorkerExited(Post(0, 0), old, -signal.SIGKILL, "")]
        await until(lambda: n.pid(0) not in (0, old))


async def test_a_wedged_worker_says_where_it_hangs(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(MODE_ENV, Mode.WEDGE)
    settings = settings_for_tests(node={"workers": 1}, supervisor=SHORT_SILENCE)
    async with node(settings) as n:
        await until(lambda: bool(n.exits))
        assert n.exits[0].code == -signal.SIGABRT
        written = capfd.readouterr().err
        assert "Fatal Python error: Aborted" in written
        assert "uvloop" in written


async def test_a_worker_that_is_not_ready_in_time_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(MODE_ENV, Mode.NEVER_READY)
    settings = settings_for_tests(supervisor={"start_timeout_s": 1.0, "give_up_after": 2})
    async with node(settings) as n:
        outcome = await n.running
        assert outcome.code is ExitCode.GAVE_UP
        assert n.exits[0].code == -signal.SIGABRT


async def test_a_crash_loop_is_slowed_down_and_ends_the_node(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MODE_ENV, Mode.CRASH)
    supervisor = {"give_up_after": 5, "backoff_min_s": 0.05, "backoff_max_s": 0.2}
    async with node(settings_for_tests(node={"workers": 1}, supervisor=supervisor)) as n:
        began = time.monotonic()
        outcome = await n.running
        # Pauses of 50, 100, 200 and 200 ms, each shortened by at most a half.
        assert time.monotonic() - began > 0.275
        assert outcome.code is ExitCode.GAVE_UP
        assert "every worker ended 5 times in a row" in outcome.reason
        assert "exit_70" in outcome.reason
        assert len(journal.events("start")) == 5


async def test_a_port_in_use_ends_the_node_at_once(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MODE_ENV, Mode.PORT_IN_USE)
    async with node(settings_for_tests(node={"workers": 1})) as n:
        outcome = await n.running
        assert outcome.code is ExitCode.COULD_NOT_BOOT
        assert "address in use: 127.0.0.1:1" in outcome.reason
        assert len(journal.events("start")) == 1


async def test_a_signal_drains_and_ends(journal: Journal) -> None:
    async with node() as n:
        await n.until_complete()
        pids = [n.pid(0), n.pid(1)]
        n.arbiter.signal_came()
        assert await n.running == Outcome(code=ExitCode.OK)
        assert [e.code for e in n.exits] == [0, 0]
        assert len(journal.events("drain")) == len(journal.events("stop")) == 2
        assert not any(map(is_alive, pids))


async def test_a_second_signal_ends_a_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODE_ENV, Mode.BUSY)
    async with node(settings_for_tests(supervisor={"drain_s": 60.0})) as n:
        await n.until_complete()
        n.arbiter.signal_came()
        await until(lambda: n.arbiter.phase is Phase.DRAINING)
        n.arbiter.signal_came()
        async with asyncio.timeout(10):
            assert await n.running == Outcome(code=ExitCode.OK)
        assert [e.code for e in n.exits] == [0, 0]


async def test_a_drain_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODE_ENV, Mode.BUSY)
    async with node(settings_for_tests(supervisor={"drain_s": 0.3})) as n:
        await n.until_complete()
        n.arbiter.signal_came()
        async with asyncio.timeout(10):
            assert await n.running == Outcome(code=ExitCode.OK)


async def test_workers_ignore_the_signals_that_are_for_their_supervisor() -> None:
    async with node() as n:
        await n.until_complete()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(n.pid(0), number)
        heard = n.arbiter.processes[0].figures
        await until(lambda: n.arbiter.processes[0].figures is not heard)
        assert n.exits == []


async def test_a_cancelled_supervisor_leaves_no_worker() -> None:
    async with node() as n:
        await n.until_complete()
        pids = [n.pid(0), n.pid(1)]
    assert not any(map(is_alive, pids))


async def test_a_worker_started_by_hand_says_how_to_do_it() -> None:
    process = await asyncio.create_subprocess_exec(
        *module_command(MODULE), env=module_environment(), stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode == ExitCode.USAGE
    assert b"headwater origin|edge" in said


async def test_nothing_secret_is_in_a_workers_arguments_or_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HEADWATER_REDIS__URL", "redis://:sesame@127.0.0.1:1/0")
    settings = settings_for_tests(redis={"url": "redis://:sesame@127.0.0.1:1/0"})
    async with node(settings) as n:
        await n.until_complete()
        seen = Path(f"/proc/{n.pid(0)}")
        for name in ("cmdline", "environ"):
            assert b"sesame" not in (seen / name).read_bytes()
