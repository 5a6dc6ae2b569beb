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
from common.supervisor.app import Post, WorkerContext
from common.supervisor.crew import Crew, Outcome, Sequel
from common.supervisor.exit_codes import ExitCode, describe_exit
from common.supervisor.generation import Order, Phase, WorkerState
from common.supervisor.messages import Drain, Members, Retire, Stop
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


@dataclass(frozen=True, slots=True)
class ReloadWanted:
    """A new generation of workers is to take over."""

    context: WorkerContext


Event = WorkerEvent | EndWanted | SignalCame | ReloadWanted


class Arbiter:
    """Keeps ``context.workers`` processes of ``module`` running until told to end.

    ``changed`` is called after each round in which the state of a worker or the phase changed;
    ``exited`` for each process that has ended, with its pid and whether it will be replaced;
    ``reloaded`` when a new generation has taken over, with the context that is in force now.
    """

    def __init__(
        self,
        module: str,
        context: WorkerContext,
        *,
        clock: Clock | None = None,
        changed: Callable[[], None] = lambda: None,
        exited: Callable[[WorkerExited, bool], None] = lambda event, unasked: None,
        reloaded: Callable[[WorkerContext], None] = lambda context: None,
    ) -> None:
        self._module = module
        self._contexts = {context.generation: context}  # by generation
        self._clock = clock or SystemClock()
        self._changed = changed
        self._exited = exited
        self._reloaded = reloaded
        self._crew = Crew(context.workers, context.settings.supervisor)
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._processes: dict[Post, WorkerProcess] = {}
        self._members: dict[int, frozenset[int]] = {}  # as told, by generation

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
        """The slots of the generation that serves whose workers are ready."""
        return self._crew.ready_slots

    @property
    def states(self) -> dict[Post, WorkerState]:
        """The state of each worker there is."""
        return self._crew.states

    @property
    def processes(self) -> list[WorkerProcess]:
        """The workers there are, by generation and slot."""
        return [self._processes[post] for post in sorted(self._processes)]

    def signal_came(self) -> None:
        """Ask for the next phase: drain, then stop, then kill. For signal handlers."""
        self._events.put_nowait(SignalCame())

    def reload(self, context: WorkerContext) -> None:
        """Ask for new workers with ``context`` in place of those that serve now.

        The former ones retire when all new ones are ready; they stay when that fails.
        """
        self._events.put_nowait(ReloadWanted(context))

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
            case WorkerHeard(post):
                self._crew.heard(post, now)
                return  # the only event that changes nothing
            case WorkerReady(post):
                self._take_ready(post, now)
            case WorkerExited():
                self._take_exit(event, now)
            case ReloadWanted(context):
                self._take_reload(context, now)
            case SignalCame():
                self._advance(_next_for_node(self._crew.phase), now)
            case EndWanted(phase):
                self._advance(phase, now)
        self._changed()

    def _take_ready(self, post: Post, now: float) -> None:
        _log.info("worker ready", **_fields(post), pid=self._processes[post].pid)
        if self._crew.ready(post, now):
            _log.info("reload is done, the former workers retire", generation=post.generation)
            self._reloaded(self._contexts[post.generation])

    def _take_exit(self, event: WorkerExited, now: float) -> None:
        post = event.post
        self._processes.pop(post, None)
        self._contexts[post.generation].sibling_socket(post.slot).unlink(missing_ok=True)
        sequel = self._crew.exited(post, event.code, now, event.boot_failure)
        fields = _fields(post) | {"pid": event.pid, "exit": describe_exit(event.code)}
        if sequel is Sequel.NOTHING:
            _log.info("worker ended", **fields)
        else:
            _log.error("worker died", **fields, reason=event.boot_failure or None)
        self._exited(event, sequel is Sequel.REPLACED)
        if sequel is Sequel.RELOAD_FAILED:
            reason = event.boot_failure or f"a new worker ended with {describe_exit(event.code)}"
            _log.error("reload failed, the former workers stay", reason=reason)
        elif sequel is Sequel.NODE_ENDS:
            _log.error("node gives up", reason=self._crew.outcome.reason)

    def _take_reload(self, context: WorkerContext, now: float) -> None:
        if self._crew.phase is not Phase.RUNNING:
            _log.warning("reload refused", reason="the node is ending")
            return
        if self._crew.candidate is not None:
            _log.warning("reload is overtaken by another one", generation=self._crew.candidate)
        number = self._crew.reload(context.workers, context.settings.supervisor, now)
        self._contexts[number] = replace(context, generation=number)
        _log.info("reload begins", generation=number, workers=context.workers)

    def _advance(self, phase: Phase, now: float) -> None:
        if phase > self._crew.phase:
            _log.info("node is ending", phase=phase.name.lower())
            self._crew.advance(phase, now)

    # What follows.

    async def _carry_out(self) -> None:
        for order, post in self._crew.orders(self._clock.monotonic()):
            if order is Order.SPAWN:
                await self._spawn(post)
            elif (worker := self._processes.get(post)) is not None:
                self._give(order, worker)

    async def _spawn(self, post: Post) -> None:
        context = replace(self._contexts[post.generation], slot=post.slot)
        try:
            worker = await WorkerProcess.launch(self._module, context, self._events.put_nowait)
        except OSError as error:
            _log.error("cannot start a process", **_fields(post), reason=error)
            self._events.put_nowait(WorkerExited(post, 0, ExitCode.CRASHED, ""))
            return
        self._processes[post] = worker

    def _give(self, order: Order, worker: WorkerProcess) -> None:
        match order:
            case Order.RETIRE:
                worker.send(Retire())
            case Order.DRAIN:
                serving = self._contexts[self._crew.serving]
                worker.send(Drain(timeout_s=serving.settings.supervisor.drain_s))
            case Order.STOP:
                worker.send(Stop())
            case Order.ABORT:
                _log.error("worker is silent", **_fields(worker.post), pid=worker.pid)
                worker.signal(signal.SIGABRT)
            case Order.KILL:
                _log.error("worker has to be killed", **_fields(worker.post), pid=worker.pid)
                worker.signal(signal.SIGKILL)

    def _tell_members(self) -> None:
        """Tell each worker who its siblings are: those of its own generation."""
        told, self._members = self._members, self._crew.members
        for generation, slots in self._members.items():
            if slots != told.get(generation, frozenset()):
                for slot in slots:
                    self._processes[Post(generation, slot)].send(Members(slots=slots))

    async def _kill_all(self) -> None:
        workers = self.processes
        for worker in workers:
            worker.signal(signal.SIGKILL)
        for worker in workers:
            await worker.wait()


def _seconds_until(deadline: float, now: float) -> float | None:
    """Return how long to wait for ``deadline``; None: for ever."""
    return None if math.isinf(deadline) else max(deadline - now, 0.0)


def _next_for_node(phase: Phase) -> Phase:
    """Return what the next signal asks of a node in ``phase``; a node does not retire."""
    return Phase.DRAINING if phase is Phase.RUNNING else Phase(min(phase + 1, Phase.KILLING))


def _fields(post: Post) -> dict[str, object]:
    return {"worker": post.slot, "generation": post.generation}
