"""Which workers a node should have, which it has, and what to do about the difference.

Theory of operation
-------------------
Two separate facts: what is *wanted* (`Phase`, one for the whole node, it only moves forward) and
what *is* (a `Slot` each, with a `Worker` or empty). `orders` compares them and answers what to do
now; whoever calls carries the orders out and reports back what happened. An order is given once.

A worker's life, and what ends each state when nothing is heard:

    STARTING --ready--> READY        start_timeout_s, heartbeat_timeout_s -> ABORTED
    ABORTED  (got SIGABRT)           ABORT_GRACE_S -> KILLED
    KILLED   (got SIGKILL)           the kernel sees to it

Rules: no processes, no signals and no clock in this file; time comes in as ``now``. A worker that
ended is replaced in its slot after a pause (`Backoff`), as long as the node's budget lasts.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final

from common.backoff import Backoff
from common.config.model import SupervisorSettings
from common.supervisor.budget import RestartBudget
from common.supervisor.exit_codes import ExitCode, describe_exit

ABORT_GRACE_S: Final = 1.0
"""From SIGABRT, which makes a wedged worker write its traceback, to SIGKILL."""

STOP_GRACE_S: Final = 3.0
"""From the order to stop to SIGKILL."""


class Phase(IntEnum):
    """What is wanted of all workers. A node never goes back to an earlier phase."""

    RUNNING = 0
    DRAINING = 1
    STOPPING = 2
    KILLING = 3


class WorkerState(Enum):
    """What a worker process is, as far as we know."""

    STARTING = "starting"
    READY = "ready"
    ABORTED = "aborted"
    KILLED = "killed"


class Order(Enum):
    """What is to be done about one slot, now."""

    SPAWN = "spawn"
    DRAIN = "drain"
    STOP = "stop"
    ABORT = "abort"
    KILL = "kill"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a node ended; ``reason`` is empty when it was asked to."""

    code: ExitCode
    reason: str = ""


@dataclass(slots=True)
class Worker:
    """One process in a slot."""

    deadline: float  # when its silence counts as failure
    state: WorkerState = WorkerState.STARTING
    ready_at: float = math.inf
    told: Phase = Phase.RUNNING  # the phase that it has been told of


@dataclass(slots=True)
class Slot:
    """A place for a worker; a replacement takes its predecessor's."""

    index: int
    backoff: Backoff
    worker: Worker | None = None
    spawn_at: float = -math.inf  # not before: the pause after a failure


class Crew:
    """The workers of a node: wanted, present, and the orders that follow."""

    def __init__(
        self,
        workers: int,
        settings: SupervisorSettings,
        *,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._settings = settings
        self._slots = [
            Slot(n, Backoff(settings.backoff_min_s, settings.backoff_max_s, uniform=uniform))
            for n in range(workers)
        ]
        self._budget = RestartBudget(settings.restart_budget, settings.restart_window_s)
        self._phase_deadline = math.inf
        self.phase = Phase.RUNNING
        self.outcome = Outcome(code=ExitCode.OK)
        self.was_complete = False  # all workers have been ready at once

    # What is.

    @property
    def ready_slots(self) -> frozenset[int]:
        """The slots whose workers are ready."""
        return frozenset(
            slot.index
            for slot in self._slots
            if slot.worker is not None and slot.worker.state is WorkerState.READY
        )

    @property
    def states(self) -> dict[int, WorkerState]:
        """The state of each worker there is, by slot."""
        return {slot.index: slot.worker.state for slot in self._slots if slot.worker is not None}

    @property
    def finished(self) -> bool:
        """Whether an end was wanted and the last worker has gone."""
        return self.phase is not Phase.RUNNING and not self.states

    # What happened.

    def ready(self, index: int, now: float) -> None:
        """Take note that a worker has opened its listeners."""
        worker = self._slots[index].worker
        if worker is not None and worker.state is WorkerState.STARTING:
            worker.state = WorkerState.READY
            worker.ready_at = now
            worker.deadline = now + self._settings.heartbeat_timeout_s
            self.was_complete = self.was_complete or len(self.ready_slots) == len(self._slots)

    def heard(self, index: int, now: float) -> None:
        """Take note of a heartbeat."""
        worker = self._slots[index].worker
        if (
            worker is not None
            and worker.state is WorkerState.READY
            and worker.told < Phase.STOPPING
        ):
            worker.deadline = now + self._settings.heartbeat_timeout_s

    def overslept(self, now: float) -> None:
        """Forgive all silence up to ``now``: it was us who did not listen.

        The supervisor may have been stopped or starved for longer than the heartbeat timeout. Its
        workers' heartbeats then wait unread, and none of them must die for it.
        """
        for slot in self._slots:
            self.heard(slot.index, now)

    def exited(self, index: int, code: int, now: float, reason: str = "") -> bool:
        """Take note that a worker has ended; say whether that was unasked for.

        ``reason`` is what it gave as the cause of `ExitCode.COULD_NOT_BOOT`.
        """
        slot = self._slots[index]
        worker, slot.worker = slot.worker, None
        if worker is None or self.phase is not Phase.RUNNING:
            return False
        # A replacement that cannot boot is another matter than a first worker: its siblings
        # serve people, and what is in its way may go. Back-off and budget deal with it.
        if code == ExitCode.COULD_NOT_BOOT and not self.was_complete:
            self._give_up(ExitCode.COULD_NOT_BOOT, reason or "a worker could not start", now)
            return True
        if not self._budget.spend(now):
            spent = f"{self._budget.allowed} restarts within {self._budget.window_s:g} s"
            last = f"the last worker ended with {describe_exit(code)}"
            self._give_up(ExitCode.BUDGET_SPENT, f"{spent} did not help; {last}", now)
            return True
        if now - worker.ready_at >= self._settings.backoff_max_s:
            slot.backoff.reset()
        slot.spawn_at = now + slot.backoff.next_s()
        return True

    # What is wanted.

    def advance(self, phase: Phase, now: float) -> None:
        """Want ``phase`` from now on, unless a later one is already wanted."""
        if phase <= self.phase:
            return
        self.phase = phase
        self._phase_deadline = now + {
            Phase.DRAINING: self._settings.drain_s,
            Phase.STOPPING: STOP_GRACE_S,
            Phase.KILLING: math.inf,
        }.get(phase, math.inf)

    def _give_up(self, code: ExitCode, reason: str, now: float) -> None:
        self.outcome = Outcome(code=code, reason=reason)
        self.advance(Phase.STOPPING, now)

    # What follows.

    def orders(self, now: float) -> list[tuple[Order, int]]:
        """Return what is to be done now, by slot; each order is given once."""
        if now >= self._phase_deadline:
            self.advance(Phase(self.phase + 1), now)
        given = [(self._order(slot, now), slot.index) for slot in self._slots]
        return [(order, index) for order, index in given if order is not None]

    def next_deadline(self) -> float:
        """Return when `orders` has to be asked again at the latest; infinity: no need."""
        deadlines = [self._phase_deadline]
        for slot in self._slots:
            if slot.worker is not None:
                deadlines.append(slot.worker.deadline)
            elif self.phase is Phase.RUNNING:
                deadlines.append(slot.spawn_at)
        return min(deadlines)

    def _order(self, slot: Slot, now: float) -> Order | None:
        worker = slot.worker
        if worker is None:
            if self.phase is not Phase.RUNNING or now < slot.spawn_at:
                return None
            slot.worker = Worker(deadline=now + self._settings.start_timeout_s)
            return Order.SPAWN
        if worker.state is WorkerState.KILLED:
            return None
        if self.phase is Phase.KILLING or now >= worker.deadline:
            return self._put_down(worker, now)
        if worker.told < self.phase and worker.state is not WorkerState.ABORTED:
            return self._ask_to_end(worker)
        return None

    def _ask_to_end(self, worker: Worker) -> Order:
        if self.phase is Phase.DRAINING and worker.state is WorkerState.READY:
            worker.told = Phase.DRAINING
            return Order.DRAIN
        # One that is still starting has nothing to drain. Heartbeats cease now: what limits the
        # time from here on is the phase.
        worker.told = Phase.STOPPING
        worker.deadline = math.inf
        return Order.STOP

    def _put_down(self, worker: Worker, now: float) -> Order:
        if self.phase is Phase.KILLING or worker.state is WorkerState.ABORTED:
            worker.state = WorkerState.KILLED
            worker.deadline = math.inf
            return Order.KILL
        worker.state = WorkerState.ABORTED
        worker.deadline = now + ABORT_GRACE_S
        return Order.ABORT
