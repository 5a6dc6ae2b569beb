"""A node put together: workers, admin port and the record in the routing table."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from importlib.metadata import version
from resource import RLIMIT_NOFILE, getrlimit
from typing import Final

from common.admin.health import Component, NodeHealth
from common.admin.server import AdminServer
from common.cluster.records import NodeLoad, NodeRecord, NodeRole, NodeState
from common.cluster.redis_directory import RedisDirectory
from common.config.address import join_address, split_address
from common.config.checks import relay_ports_problem
from common.config.model import Settings
from common.errors import ConfigError
from common.ids import NodeId
from common.logs import get_log, setup_logging
from common.metrics import NodeMetrics, mark_dead, render
from common.supervisor.app import WorkerContext
from common.supervisor.arbiter import Arbiter
from common.supervisor.crew import Outcome
from common.supervisor.exit_codes import REPLACED, ExitCode, describe_exit
from common.supervisor.fdlimit import raise_fd_limit
from common.supervisor.generation import Phase, WorkerState
from common.supervisor.identity import find_advertise_host, make_node_id
from common.supervisor.launcher import Launcher, open_launcher
from common.supervisor.load import add_up, by_slot
from common.supervisor.reload import Reloader
from common.supervisor.reporter import NodeReporter
from common.supervisor.rtmp_port import listen_problem, reserve_port
from common.supervisor.runtime_dir import metrics_dir, open_runtime_dir
from common.supervisor.worker_process import WorkerExited

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

_log = get_log("supervisor")


async def run_node(
    role: NodeRole,
    settings: Settings,
    *,
    load: Callable[[], Settings],
    ready_fd: int | None = None,
    worker_module: str | None = None,
) -> int:
    """Run a node until it is told to end; return the exit code of the process (`ExitCode`).

    SIGTERM or SIGINT drains, a second one stops, a third one kills. SIGHUP reloads: ``load`` gives
    the settings anew, or raises `ConfigError`, and new workers take over from the former. When all
    workers are ready for the first time, one line of JSON is written to ``ready_fd``; see
    `Launcher`. The workers run ``python -m worker_module``, by default the package with the role's
    name.
    """
    # Until it is heard, below: there is nothing to reload yet, and it must not end us.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    inherited = getrlimit(RLIMIT_NOFILE)[0]
    _log.info("open files", limit=raise_fd_limit(), inherited=inherited)
    try:
        outcome = await _run(role, settings, load, ready_fd, worker_module or role.value)
    except ConfigError as error:
        for problem in error.problems:
            _log.error("node cannot start", reason=problem)
        return ExitCode.COULD_NOT_BOOT
    return outcome.code


async def _run(
    role: NodeRole,
    settings: Settings,
    load: Callable[[], Settings],
    ready_fd: int | None,
    module: str,
) -> Outcome:
    with (
        open_launcher(ready_fd) as launcher,
        reserve_port(settings.rtmp.listen) as (host, port),
        open_runtime_dir(settings.node.runtime_dir) as runtime_dir,
    ):
        context = WorkerContext(
            settings=settings,
            role=role,
            node=NodeId(settings.node.id) or make_node_id(role),
            slot=0,
            workers=_checked_worker_count(settings),
            rtmp_host=host,
            rtmp_port=port,
            advertise_host=_advertise_host(settings, host),
            runtime_dir=runtime_dir,
        )
        # Anew, now that the node has a name: every line says whose it is.
        setup_logging(settings.log.level, settings.log.format, node=context.node)
        return await _Node(module, context, load, launcher).run()


class _Node:
    """The parts of a node and how they are joined; each part's own work is in its own file."""

    def __init__(
        self,
        module: str,
        context: WorkerContext,
        load: Callable[[], Settings],
        launcher: Launcher,
    ) -> None:
        settings = context.settings
        self._context = context  # of the workers that serve
        self._launcher = launcher
        self._arbiter = Arbiter(
            module,
            context,
            changed=self._changed,
            exited=self._exited,
            reloaded=self._reloaded,
        )
        self._reloader = Reloader(load, lambda: self._context.settings, self._reload)
        self._reporter = self._new_reporter()
        self._metrics = NodeMetrics(
            node=context.node,
            role=context.role,
            zone=settings.node.zone,
            version=version("headwater"),
            restarts=Counter(dict.fromkeys(REPLACED, 0)),
        )
        self._rtmp = join_address(context.advertise_host, context.rtmp_port)
        self._admin = ""  # known when the port is open
        self._told_ready = False

    async def run(self) -> Outcome:
        """Run the node until it has ended."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._arbiter.signal_came)
        loop.add_signal_handler(signal.SIGHUP, self._reloader.want)
        try:
            async with self._admin_server(), asyncio.TaskGroup() as helpers:
                helpers.create_task(self._report())
                waiting = [
                    helpers.create_task(self._follow_launcher()),
                    helpers.create_task(self._reloader.run()),
                ]
                outcome = await self._arbiter.run()
                self._reporter.finish()
                for task in waiting:
                    task.cancel()
            return outcome
        finally:
            for number in (*_SIGNALS, signal.SIGHUP):
                loop.remove_signal_handler(number)

    @asynccontextmanager
    async def _admin_server(self) -> AsyncIterator[None]:
        listen = self._context.settings.admin.listen
        host, port = split_address(listen)
        server = AdminServer(
            host, port, health=self._health, metrics=self._metrics_page, status=self._status
        )
        try:
            port = await server.start()
        except OSError as error:
            raise listen_problem("admin.listen", listen, error) from error
        self._admin = join_address(find_advertise_host(host), port)
        try:
            yield
        finally:
            await server.stop()

    async def _follow_launcher(self) -> None:
        await self._launcher.gone()
        _log.warning("launcher has gone")
        self._arbiter.end(Phase.STOPPING)

    def _new_reporter(self) -> NodeReporter:
        settings = self._context.settings
        return NodeReporter(
            RedisDirectory(settings.redis, settings.lease),
            self._context.node,
            self._describe,
            settings.lease.renew_s,
        )

    async def _report(self) -> None:
        """Report to the routing table; after a reload that may be another one."""
        finished = None
        while finished is not self._reporter:
            finished = self._reporter
            await finished.run()

    def _reload(self, settings: Settings) -> None:
        """Have new workers take over with ``settings``. Raises `ConfigError`."""
        context = replace(
            self._context,
            settings=settings,
            workers=_checked_worker_count(settings),
            advertise_host=_advertise_host(settings, self._context.rtmp_host),
        )
        self._arbiter.reload(context)

    # What the arbiter tells.

    def _changed(self) -> None:
        self._reporter.hurry()
        if self._arbiter.was_complete and not self._told_ready:
            self._told_ready = True
            _log.info("node ready", rtmp=self._rtmp, admin=self._admin)
            self._launcher.tell(self._ready_line())

    def _reloaded(self, context: WorkerContext) -> None:
        former, self._context = self._context.settings, context
        settings = context.settings
        setup_logging(settings.log.level, settings.log.format, node=context.node)
        self._metrics.zone = settings.node.zone
        self._rtmp = join_address(context.advertise_host, context.rtmp_port)
        self._report_anew(same_table=settings.redis == former.redis)

    def _report_anew(self, *, same_table: bool) -> None:
        # Whatever has changed: a password in a file may have, under the same settings.
        former = self._reporter
        try:
            self._reporter = self._new_reporter()
        except ConfigError as error:  # a password file that the workers could still read
            for problem in error.problems:
                _log.error("node is not reported with the new settings", reason=problem)
            return
        if same_table:
            self._reporter.problem = former.problem
        former.finish(leave=not same_table)

    def _exited(self, event: WorkerExited, replaced: bool) -> None:
        mark_dead(event.pid, metrics_dir(self._context.runtime_dir))
        if replaced:
            self._metrics.restarts[describe_exit(event.code)] += 1

    # What others ask.

    def _ready_line(self) -> dict[str, object]:
        return {
            "id": self._context.node,
            "role": self._context.role,
            "pid": os.getpid(),
            "rtmp": self._rtmp,
            "admin": self._admin,
            "workers": [worker.pid for worker in self._arbiter.processes],
        }

    def _health(self) -> NodeHealth:
        return NodeHealth(
            workers=self._context.workers,
            ready_workers=len(self._arbiter.ready_slots),
            started=self._arbiter.was_complete,
            draining=self._arbiter.phase is not Phase.RUNNING,
            components=(self._redis_health(),),
        )

    def _redis_health(self) -> Component:
        cut_off = [
            worker.post.slot
            for worker in self._arbiter.processes
            if not worker.figures.status.directory_ok
        ]
        reason = self._reporter.problem or (f"unreachable for workers {cut_off}" if cut_off else "")
        return Component(name="redis", ok=not reason, reason=reason)

    def _metrics_page(self) -> bytes:
        states = list(self._arbiter.states.values())
        self._metrics.ready = not self._health().not_ready_reason
        self._metrics.directory_up = self._redis_health().ok
        self._metrics.workers = {state.value: states.count(state) for state in WorkerState}
        return render(metrics_dir(self._context.runtime_dir), self._metrics)

    def _status(self) -> dict[str, object]:
        """Return what the status page shows."""
        record, load = self._describe()
        states = self._arbiter.states
        return asdict(record) | {
            "version": self._metrics.version,
            "workers": [
                {
                    "slot": worker.post.slot,
                    "generation": worker.post.generation,
                    "pid": worker.pid,
                    "state": states[worker.post].value,
                }
                | worker.figures.as_dict()
                for worker in self._arbiter.processes
            ],
            "standbys": sum(each.standbys for each in load.streams.values()),
            "streams": {stream: asdict(each) for stream, each in load.streams.items()},
        }

    def _describe(self) -> tuple[NodeRecord, NodeLoad]:
        """Return what the routing table shall know of this node."""
        load = add_up([worker.figures for worker in self._arbiter.processes])
        serving = self._arbiter.phase is Phase.RUNNING
        record = NodeRecord(
            id=self._context.node,
            role=self._context.role,
            state=NodeState.SERVING if serving else NodeState.DRAINING,
            rtmp=self._rtmp,
            admin=self._admin,
            zone=self._context.settings.node.zone,
            workers=self._context.workers,
            viewers=load.viewers,
            publishers=load.publishers,
            streams=len(load.streams),
            egress_bps=load.egress_bps,
            cpu_share=load.cpu_share,
            relays=self._relays(),
        )
        return record, NodeLoad(node=self._context.node, streams=dict(load.streams))

    def _relays(self) -> tuple[str, ...]:
        """Return where the workers that serve now give relays to other edges, by slot."""
        return by_slot(
            {
                worker.post.slot: worker.figures.status.relay
                for worker in self._arbiter.processes
                if worker.post.generation == self._context.generation
            },
            self._arbiter.ready_slots,
        )


def _checked_worker_count(settings: Settings) -> int:
    """Return how many workers there will be. Raises `ConfigError` if not all can have ports."""
    workers = settings.node.workers or _cores()
    if problem := relay_ports_problem(settings.relay.port_base, workers):
        raise ConfigError([f"relay.port_base {problem}"])
    return workers


def _advertise_host(settings: Settings, listen_host: str) -> str:
    return settings.node.advertise_host or find_advertise_host(listen_host)


def _cores() -> int:
    # Those that we may use, where the system tells (Linux), not those that the machine has.
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1
