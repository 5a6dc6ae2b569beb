"""The supervisor's one loop: takes note of what happened, carries out what follows.

Signal handlers and the watchers of the processes only put events into a queue. One loop takes
them out, tells the `Crew`, and carries out its orders; so all decisions are made in one place, in
order, with nothing happening in between.
"""

import asyncio
import math
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from common.clock import Clock, SystemClock
from common.logs import get_log
from common.supervisor.app import WorkerContext
from common.supervisor.crew import Crew, Order, Outcome, Phase, WorkerState
from common.supervisor.exit_codes import ExitCode, describe_exit
from common.supervisor.messages import Drain, Members, Stop
from common.supervisor.worker_process import (
    WorkerEvent,
    WorkerExited,
    WorkerHeard,
    WorkerProcess,
    WorkerReady,
)

OVERSLEPT_S: Final = 0.25
"""Waking so much later than planned means that it was us who did not listen."""

_log = get_log("supervisor")


@dataclass(frozen=True, slots=True)
class EndWanted:
    """Somebody wants the node to come to an end, at least as fast as ``phase`` says."""

    phase: Phase


@dataclass(frozen=True, slots=True)
class SignalCame:
    """SIGTERM or SIGINT: each one asks for the next phase."""


Event = WorkerEvent | EndWanted | SignalCame


class Arbiter:
    """Keeps ``context.workers`` processes of ``module`` running until told to end.

    ``changed`` is called after each round in which the state of a worker or the phase changed;
    ``exited`` for each process that has ended, with its pid and whether it will be replaced.
    """

    def __init__(
        self,
        module: str,
        context: WorkerContext,
        *,
        clock: Clock | None = None,
        changed: Callable[[], None] = lambda: None,
        exited: Callable[[WorkerExited, bool], None] = lambda event, unasked: None,
    ) -> None:
        self._module = module
        self._context = context
        self._settings = context.settings.supervisor
        self._clock = clock or SystemClock()
        self._changed = changed
        self._exited = exited
        self._crew = Crew(context.workers, self._settings)
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._processes: dict[int, WorkerProcess] = {}
        self._members: frozenset[int] = frozenset()

    @property
    def phase(self) -> Phase:
        """What is wanted of the workers now."""
        return self._crew.phase

    @property
    def was_complete(self) -> bool:
        """Whether all workers have been ready at once: the node has started."""
        return self._crew.was_complete

    @property
    def ready_slots(self) -> frozenset[int]:
        """The slots whose workers are ready."""
        return self._crew.ready_slots

    @property
    def states(self) -> dict[int, WorkerState]:
        """The state of each worker there is, by slot."""
        return self._crew.states

    @property
    def processes(self) -> list[WorkerProcess]:
        """The workers there are, by slot."""
        return [self._processes[slot] for slot in sorted(self._processes)]

    def signal_came(self) -> None:
        """Ask for the next phase: drain, then stop, then kill. For signal handlers."""
        self._events.put_nowait(SignalCame())

    def end(self, phase: Phase) -> None:
        """Ask for an end, at least as fast as ``phase`` says."""
        self._events.put_nowait(EndWanted(phase))

    async def run(self) -> Outcome:
        """Run the workers; return when an end was asked for and the last one has gone.

        However this ends, cancellation included, no worker is left running.
        """
        try:
            while not self._crew.finished:
                await self._carry_out()
                self._tell_members()
                await self._take_events()
            return self._crew.outcome
        finally:
            await self._kill_all()

    # What happened.

    async def _take_events(self) -> None:
        """Wait for an event or the next deadline, then take all events there are."""
        deadline = self._crew.next_deadline()
        with suppress(TimeoutError):
            async with asyncio.timeout(_seconds_until(deadline, self._clock.monotonic())):
                self._take(await self._events.get())
        now = self._clock.monotonic()
        if now - deadline > OVERSLEPT_S:
            self._crew.overslept(now)
        while not self._events.empty():
            self._take(self._events.get_nowait())

    def _take(self, event: Event) -> None:
        now = self._clock.monotonic()
        match event:
            case WorkerHeard(slot):
                self._crew.heard(slot, now)
                return  # the only event that changes nothing
            case WorkerReady(slot):
                self._crew.ready(slot, now)
                _log.info("worker ready", worker=slot, pid=self._processes[slot].pid)
            case WorkerExited():
                self._take_exit(event, now)
            case SignalCame():
                self._advance(Phase(min(self._crew.phase + 1, Phase.KILLING)), now)
            case EndWanted(phase):
                self._advance(phase, now)
        self._changed()

    def _take_exit(self, event: WorkerExited, now: float) -> None:
        self._processes.pop(event.slot, None)
        unasked = self._crew.exited(event.slot, event.code, now, event.boot_failure)
        fields = {"worker": event.slot, "pid": event.pid, "exit": describe_exit(event.code)}
        if unasked:
            _log.error("worker died", **fields, reason=event.boot_failure or None)
        else:
            _log.info("worker ended", **fields)
        self._exited(event, unasked and self._crew.phase is Phase.RUNNING)
        if unasked and self._crew.phase is not Phase.RUNNING:
            _log.error("node gives up", reason=self._crew.outcome.reason)

    def _advance(self, phase: Phase, now: float) -> None:
        if phase > self._crew.phase:
            _log.info("node is ending", phase=phase.name.lower())
            self._crew.advance(phase, now)

    # What follows.

    async def _carry_out(self) -> None:
        for order, slot in self._crew.orders(self._clock.monotonic()):
            if order is Order.SPAWN:
                await self._spawn(slot)
            elif (worker := self._processes.get(slot)) is not None:
                self._give(order, worker)

    async def _spawn(self, slot: int) -> None:
        context = replace(self._context, slot=slot)
        try:
            worker = await WorkerProcess.launch(self._module, context, self._events.put_nowait)
        except OSError as error:
            _log.error("cannot start a process", worker=slot, reason=error)
            self._events.put_nowait(WorkerExited(slot, 0, ExitCode.CRASHED, ""))
            return
        self._processes[slot] = worker

    def _give(self, order: Order, worker: WorkerProcess) -> None:
        match order:
            case Order.DRAIN:
                worker.send(Drain(timeout_s=self._settings.drain_s))
            case Order.STOP:
                worker.send(Stop())
            case Order.ABORT:
                _log.error("worker is silent", worker=worker.slot, pid=worker.pid)
                worker.signal(signal.SIGABRT)
            case Order.KILL:
                _log.error("worker has to be killed", worker=worker.slot, pid=worker.pid)
                worker.signal(signal.SIGKILL)

    def _tell_members(self) -> None:
        members = self._crew.ready_slots
        if members == self._members:
            return
        self._members = members
        for slot in members:
            self._processes[slot].send(Members(slots=members))

    async def _kill_all(self) -> None:
        workers = self.processes
        for worker in workers:
            worker.signal(signal.SIGKILL)
        for worker in workers:
            await worker.wait()


def _seconds_until(deadline: float, now: float) -> float | None:
    """Return how long to wait for ``deadline``; None: for ever."""
    return None if math.isinf(deadline) else max(deadline - now, 0.0)
