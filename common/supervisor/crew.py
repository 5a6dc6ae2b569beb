r"""Which generations of workers a node has, which of them serves, and what follows.

Theory of operation
-------------------
There is always one *serving* generation; its phase is the node's. A reload makes a *candidate*
beside it. When all workers of the candidate are ready, it becomes the serving one and the former
*retires*. When one of them ends before that, the candidate is given up: it retires itself, for
clients may have found those of its workers that were ready, and the serving generation has never
been touched. A candidate that is overtaken by another reload retires likewise.

    reload --> candidate --all ready--> serving --next one ready--> retiring --all gone--> forgotten
                   \--one ended, or overtaken by a reload-------------^

A worker of the serving generation that ended is replaced in its slot after a pause (`Backoff`),
until the generation finds that this helps no more; nobody else is replaced.

Rules as in `generation`: no processes, no signals and no clock; time comes in as ``now``.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from common.config.model import SupervisorSettings
from common.supervisor.app import Post
from common.supervisor.exit_codes import ExitCode, describe_exit
from common.supervisor.generation import Generation, Order, Phase, Worker, WorkerState


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a node ended; ``reason`` is empty when it was asked to."""

    code: ExitCode
    reason: str = ""


class Sequel(Enum):
    """What follows from the end of a worker."""

    NOTHING = "nothing"  # it was asked to end, or would have been
    REPLACED = "replaced"
    RELOAD_FAILED = "reload_failed"
    NODE_ENDS = "node_ends"


class Crew:
    """The workers of a node."""

    def __init__(
        self,
        workers: int,
        settings: SupervisorSettings,
        *,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._uniform = uniform
        self._newest = 0
        self._serving = Generation(0, workers, settings, uniform)
        self._candidate: Generation | None = None
        self._retiring: list[Generation] = []
        self.outcome = Outcome(code=ExitCode.OK)
        self.was_complete = False  # all workers of a generation have been ready at once

    # What is.

    @property
    def phase(self) -> Phase:
        """What is wanted of the node."""
        return self._serving.phase

    @property
    def serving(self) -> int:
        """The number of the generation that serves."""
        return self._serving.number

    @property
    def candidate(self) -> int | None:
        """The number of the generation that is to take over, while there is one."""
        return None if self._candidate is None else self._candidate.number

    @property
    def ready_slots(self) -> frozenset[int]:
        """The slots of the serving generation whose workers are ready."""
        return self._serving.ready_slots

    @property
    def members(self) -> dict[int, frozenset[int]]:
        """The slots whose workers are ready, by generation."""
        return {each.number: each.ready_slots for each in self._generations}

    @property
    def states(self) -> dict[Post, WorkerState]:
        """The state of each worker there is."""
        return {
            Post(each.number, slot): state
            for each in self._generations
            for slot, state in each.states.items()
        }

    @property
    def finished(self) -> bool:
        """Whether an end was wanted and the last worker has gone."""
        return self.phase is not Phase.RUNNING and not self.states

    @property
    def _generations(self) -> list[Generation]:
        """All generations, oldest first."""
        candidates = [] if self._candidate is None else [self._candidate]
        return sorted([*self._retiring, self._serving, *candidates], key=lambda each: each.number)

    # What happened.

    def ready(self, post: Post, now: float) -> bool:
        """Take note that a worker has opened its listeners; say whether that ends a reload."""
        generation = self._find(post)
        if generation is None:
            return False
        generation.ready(post.slot, now)
        if not generation.complete or self.phase is not Phase.RUNNING:
            return False
        if generation is self._candidate:
            self._candidate = None
            self._retire(self._serving, now, times=generation.settings)
            self._serving = generation
            self.was_complete = True
            return True
        self.was_complete |= generation is self._serving
        return False

    def heard(self, post: Post, now: float) -> None:
        """Take note of a heartbeat."""
        if (generation := self._find(post)) is not None:
            generation.heard(post.slot, now)

    def overslept(self, now: float) -> None:
        """Forgive all silence up to ``now``: it was us who did not listen.

        The supervisor may have been stopped or starved for longer than the heartbeat timeout. Its
        workers' heartbeats then wait unread, and none of them must die for it.
        """
        for generation in self._generations:
            generation.overslept(now)

    def exited(self, post: Post, code: int, now: float, reason: str = "") -> Sequel:
        """Take note that a worker has ended; say what follows.

        ``reason`` is what it gave as the cause of `ExitCode.COULD_NOT_BOOT`.
        """
        generation = self._find(post)
        worker = None if generation is None else generation.remove(post.slot)
        if generation is None or worker is None or generation.phase is not Phase.RUNNING:
            return Sequel.NOTHING
        if generation is self._candidate:
            self._drop_candidate(now)
            return Sequel.RELOAD_FAILED
        return self._lost(worker, post.slot, code, now, reason)

    def _lost(self, worker: Worker, slot: int, code: int, now: float, reason: str) -> Sequel:
        # A replacement that cannot boot is another matter than a first worker: its siblings
        # serve people, and what is in its way may go. It is a failure like others.
        if code == ExitCode.COULD_NOT_BOOT and not self.was_complete:
            self._give_up(ExitCode.COULD_NOT_BOOT, reason or "a worker could not start", now)
            return Sequel.NODE_ENDS
        if not self._serving.replace(slot, worker, now):
            self._give_up(ExitCode.GAVE_UP, self._no_help(code), now)
            return Sequel.NODE_ENDS
        return Sequel.REPLACED

    def _no_help(self, code: int) -> str:
        times, well_s = self._serving.settings.give_up_after, self._serving.settings.healthy_s
        return (
            f"every worker ended {times} times in a row before it was well for {well_s:g} s, "
            f"the last one with {describe_exit(code)}"
        )

    # What is wanted.

    def reload(self, workers: int, settings: SupervisorSettings, now: float) -> int:
        """Want a new generation in place of the one that serves; return its number.

        Must not be called when the node is ending.
        """
        self._drop_candidate(now)
        self._newest += 1
        self._candidate = Generation(self._newest, workers, settings, self._uniform)
        return self._newest

    def advance(self, phase: Phase, now: float) -> None:
        """Want ``phase`` of the whole node, unless a later one is already wanted."""
        for generation in self._generations:
            generation.advance(phase, now, self._serving.settings)

    def _give_up(self, code: ExitCode, reason: str, now: float) -> None:
        self.outcome = Outcome(code=code, reason=reason)
        self.advance(Phase.STOPPING, now)

    def _drop_candidate(self, now: float) -> None:
        if self._candidate is not None:
            dropped, self._candidate = self._candidate, None
            self._retire(dropped, now, times=self._serving.settings)

    def _retire(self, generation: Generation, now: float, times: SupervisorSettings) -> None:
        generation.advance(Phase.RETIRING, now, times)
        self._retiring.append(generation)

    # What follows.

    def orders(self, now: float) -> list[tuple[Order, Post]]:
        """Return what is to be done now; each order is given once."""
        times = self._serving.settings
        given = [(order, self._serving, slot) for order, slot in self._serving.orders(now, times)]
        if self.phase is not Phase.RUNNING:
            self.advance(self.phase, now)  # nobody stays behind the node, whose time may be over
        self._retiring = [each for each in self._retiring if each.states]
        for other in self._generations:
            if other is not self._serving:
                given += [(order, other, slot) for order, slot in other.orders(now, times)]
        return [(order, Post(generation.number, slot)) for order, generation, slot in given]

    def next_deadline(self) -> float:
        """Return when `orders` has to be asked again at the latest; infinity: no need."""
        return min(each.next_deadline() for each in self._generations)

    def _find(self, post: Post) -> Generation | None:
        """Return the generation of ``post``; None when it is forgotten."""
        return next((each for each in self._generations if each.number == post.generation), None)
