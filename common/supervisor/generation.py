r"""The workers of one generation: wanted, present, and the orders that follow.

Theory of operation
-------------------
Two separate facts: what is *wanted* (`Phase`, one for the whole generation, it only moves forward)
and what *is* (a `Slot` each, with a `Worker` or empty). `Generation.orders` compares them and
answers what to do now; whoever calls carries the orders out and reports back what happened. An
order is given once.

A worker's life, and what ends each state when nothing is heard:

    STARTING --ready--> READY        start_timeout_s, heartbeat_timeout_s -> ABORTED
    ABORTED  (got SIGABRT)           ABORT_GRACE_S -> KILLED
    KILLED   (got SIGKILL)           the kernel sees to it

One that ends before it was ready for healthy_s has *failed*. A replacement comes after a pause that
grows with the failures of its slot in a row, for ever, for its siblings serve meanwhile. Only when
every slot has failed give_up_after times in a row, and none has a worker that is well now, do
replacements not help, and the generation asks for no more.

Phases, and what ends each when workers do not end before:

    RUNNING --> RETIRING             retire_s -> DRAINING
           \--> DRAINING             drain_s -> STOPPING
                STOPPING             STOP_GRACE_S -> KILLING

Rules: no processes, no signals and no clock in this file; time comes in as ``now``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final

from common.backoff import Backoff
from common.config.model import SupervisorSettings

ABORT_GRACE_S: Final = 1.0
"""From SIGABRT, which makes a wedged worker write its traceback, to SIGKILL."""

STOP_GRACE_S: Final = 3.0
"""From the order to stop to SIGKILL."""


class Phase(IntEnum):
    """What is wanted of all workers. There is no way back to an earlier phase."""

    RUNNING = 0
    RETIRING = 1  # a newer generation serves: keep who is here, take nobody new
    DRAINING = 2
    STOPPING = 3
    KILLING = 4


class WorkerState(Enum):
    """What a worker process is, as far as we know."""

    STARTING = "starting"
    READY = "ready"
    ABORTED = "aborted"
    KILLED = "killed"


class Order(Enum):
    """What is to be done about one worker, now."""

    SPAWN = "spawn"
    RETIRE = "retire"
    DRAIN = "drain"
    STOP = "stop"
    ABORT = "abort"
    KILL = "kill"


@dataclass(slots=True)
class Worker:
    """One process in a slot."""

    deadline: float  # when its silence counts as failure
    state: WorkerState = WorkerState.STARTING
    ready_at: float = math.inf
    heard_at: float = -math.inf
    told: Phase = Phase.RUNNING  # the phase that it has been told of

    @property
    def well_s(self) -> float:
        """How long it was seen to be well: silence at the end of a life proves nothing."""
        return self.heard_at - self.ready_at


@dataclass(slots=True)
class Slot:
    """A place for a worker; a replacement takes its predecessor's."""

    index: int
    backoff: Backoff
    worker: Worker | None = None
    spawn_at: float = -math.inf  # not before: the pause after a failure
    failures: int = 0  # of workers in a row


class Generation:
    """The workers that were started with one set of settings."""

    def __init__(
        self,
        number: int,
        workers: int,
        settings: SupervisorSettings,
        uniform: Callable[[float, float], float],
    ) -> None:
        self.number = number
        self.settings = settings
        self.phase = Phase.RUNNING
        self._phase_deadline = math.inf
        self._slots = [
            Slot(n, Backoff(settings.backoff_min_s, settings.backoff_max_s, uniform=uniform))
            for n in range(workers)
        ]

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
    def complete(self) -> bool:
        """Whether all workers are ready."""
        return len(self.ready_slots) == len(self._slots)

    # What happened.

    def ready(self, index: int, now: float) -> None:
        """Take note that a worker has opened its listeners."""
        worker = self._slots[index].worker
        if worker is not None and worker.state is WorkerState.STARTING:
            worker.state = WorkerState.READY
            worker.ready_at = worker.heard_at = now
            worker.deadline = now + self.settings.heartbeat_timeout_s

    def heard(self, index: int, now: float) -> None:
        """Take note of a heartbeat."""
        worker = self._slots[index].worker
        if (
            worker is not None
            and worker.state is WorkerState.READY
            and worker.told < Phase.STOPPING
        ):
            worker.heard_at = now
            worker.deadline = now + self.settings.heartbeat_timeout_s

    def overslept(self, now: float) -> None:
        """Forgive all silence up to ``now``."""
        for slot in self._slots:
            self.heard(slot.index, now)

    def remove(self, index: int) -> Worker | None:
        """Take note that a worker has ended; return what was known of it."""
        slot = self._slots[index]
        worker, slot.worker = slot.worker, None
        return worker

    def replace(self, index: int, worker: Worker, now: float) -> bool:
        """Have ``worker``, which has ended, replaced; False when that helps no more."""
        slot = self._slots[index]
        if self._was_well(worker):
            slot.failures = 0
            slot.backoff.reset()
        else:
            slot.failures += 1
        if all(map(self._is_hopeless, self._slots)):
            return False
        slot.spawn_at = now + slot.backoff.next_s()
        return True

    def _was_well(self, worker: Worker) -> bool:
        return worker.well_s >= self.settings.healthy_s

    def _is_hopeless(self, slot: Slot) -> bool:
        if slot.worker is not None and self._was_well(slot.worker):
            return False
        return slot.failures >= self.settings.give_up_after

    # What is wanted.

    def advance(self, phase: Phase, now: float, times: SupervisorSettings) -> None:
        """Want ``phase`` from now on, unless a later one is already wanted.

        ``times`` are the settings in force, which may be those of a newer generation.
        """
        if phase <= self.phase:
            return
        self.phase = phase
        self._phase_deadline = now + {
            Phase.RETIRING: times.retire_s,
            Phase.DRAINING: times.drain_s,
            Phase.STOPPING: STOP_GRACE_S,
        }.get(phase, math.inf)

    # What follows.

    def orders(self, now: float, times: SupervisorSettings) -> list[tuple[Order, int]]:
        """Return what is to be done now, by slot; each order is given once."""
        if now >= self._phase_deadline:
            self.advance(Phase(self.phase + 1), now, times)
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
            slot.worker = Worker(deadline=now + self.settings.start_timeout_s)
            return Order.SPAWN
        if worker.state is WorkerState.KILLED:
            return None
        if self.phase is Phase.KILLING or now >= worker.deadline:
            return self._put_down(worker, now)
        if worker.told < self.phase and worker.state is not WorkerState.ABORTED:
            return self._ask_to_end(worker)
        return None

    def _ask_to_end(self, worker: Worker) -> Order:
        if self.phase < Phase.STOPPING and worker.state is WorkerState.READY:
            worker.told = self.phase
            return Order.RETIRE if self.phase is Phase.RETIRING else Order.DRAIN
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
