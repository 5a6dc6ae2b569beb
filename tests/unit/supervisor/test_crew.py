import math

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from common.clock import ManualClock
from common.config.model import SupervisorSettings
from common.supervisor.app import Post
from common.supervisor.crew import Crew, Outcome, Sequel
from common.supervisor.exit_codes import ExitCode
from common.supervisor.generation import ABORT_GRACE_S, STOP_GRACE_S, Order, Phase, WorkerState

SETTINGS = SupervisorSettings(
    heartbeat_s=1,
    heartbeat_timeout_s=10,
    start_timeout_s=30,
    backoff_min_s=1,
    backoff_max_s=8,
    restart_budget=5,
    restart_window_s=600,
    drain_s=20,
    retire_s=100,
)


class Case:
    """A crew with a clock, whose pauses are not shortened."""

    def __init__(self, workers: int = 2) -> None:
        self.clock = ManualClock()
        self.crew = Crew(workers, SETTINGS, uniform=lambda low, high: high)

    @property
    def now(self) -> float:
        return self.clock.now

    def orders(self, after_s: float = 0.0) -> list[tuple[Order, int]]:
        """Return the orders to the first generation, which must be all there are."""
        given = self.all_orders(after_s)
        assert all(post.generation == 0 for _, post in given)
        return [(order, post.slot) for order, post in given]

    def all_orders(self, after_s: float = 0.0) -> list[tuple[Order, Post]]:
        self.clock.advance(after_s)
        return self.crew.orders(self.now)

    def all_ready(self) -> "Case":
        for order, post in self.all_orders():
            if order is Order.SPAWN:
                self.crew.ready(post, self.now)
        return self

    def ready(self, slot: int, generation: int = 0) -> bool:
        return self.crew.ready(Post(generation, slot), self.now)

    def heard(self, slot: int, generation: int = 0) -> None:
        self.crew.heard(Post(generation, slot), self.now)

    def exit(self, slot: int, code: int = 1, reason: str = "", *, generation: int = 0) -> Sequel:
        return self.crew.exited(Post(generation, slot), code, self.now, reason)

    def reload(self, workers: int = 2, settings: SupervisorSettings = SETTINGS) -> int:
        return self.crew.reload(workers, settings, self.now)


def test_all_slots_are_filled_once() -> None:
    case = Case(3)
    assert case.orders() == [(Order.SPAWN, 0), (Order.SPAWN, 1), (Order.SPAWN, 2)]
    assert case.orders() == []
    assert set(case.crew.states.values()) == {WorkerState.STARTING}


def test_a_node_is_complete_when_all_have_been_ready_at_once() -> None:
    case = Case(2)
    case.orders()
    case.ready(0)
    assert (case.crew.ready_slots, case.crew.was_complete) == ({0}, False)
    case.ready(1)
    assert (case.crew.ready_slots, case.crew.was_complete) == ({0, 1}, True)
    case.exit(1)
    assert (case.crew.ready_slots, case.crew.was_complete) == ({0}, True)


def test_a_dead_worker_is_replaced_after_pauses_that_grow() -> None:
    case = Case(1).all_ready()
    for pause_s in (1, 2, 4):
        assert case.exit(0) is Sequel.REPLACED
        assert case.crew.next_deadline() == case.now + pause_s
        assert case.orders(pause_s - 0.1) == []
        assert case.orders(0.1) == [(Order.SPAWN, 0)]


def test_a_worker_that_has_lived_is_replaced_after_the_shortest_pause() -> None:
    case = Case(1).all_ready()
    for _ in range(3):
        case.exit(0)
        case.orders(10)
    case.ready(0)
    case.clock.advance(SETTINGS.backoff_max_s)
    case.exit(0)
    assert case.crew.next_deadline() == case.now + 1


def test_a_worker_that_dies_before_it_is_ready_has_not_lived() -> None:
    case = Case(1)
    case.orders()
    case.clock.advance(SETTINGS.backoff_max_s)
    case.exit(0)
    case.orders(10)
    case.clock.advance(SETTINGS.backoff_max_s)
    case.exit(0)
    assert case.crew.next_deadline() == case.now + 2


def test_slots_have_back_offs_of_their_own() -> None:
    case = Case(2).all_ready()
    for _ in range(2):
        case.exit(0)
        case.orders(10)
    case.exit(1)
    assert case.crew.next_deadline() == case.now + 1


def test_a_spent_budget_ends_the_node_with_the_reason() -> None:
    case = Case(2).all_ready()
    for _ in range(SETTINGS.restart_budget):
        case.exit(0)
        assert (Order.SPAWN, 0) in case.orders(8)
        case.heard(1)
    case.exit(0, -11)
    assert case.crew.phase is Phase.STOPPING
    assert case.orders() == [(Order.STOP, 1)]
    case.exit(1, 0)
    assert case.crew.finished
    assert case.crew.outcome == Outcome(
        code=ExitCode.BUDGET_SPENT,
        reason="5 restarts within 600 s did not help; the last worker ended with signal_11",
    )


def test_a_first_worker_that_cannot_boot_ends_the_node() -> None:
    case = Case(2)
    case.orders()
    assert case.exit(0, ExitCode.COULD_NOT_BOOT, "port 1935 in use") is Sequel.NODE_ENDS
    assert case.orders() == [(Order.STOP, 1)]
    case.exit(1, 0)
    assert case.crew.finished
    assert case.crew.outcome == Outcome(code=ExitCode.COULD_NOT_BOOT, reason="port 1935 in use")


def test_a_replacement_that_cannot_boot_is_tried_again() -> None:
    case = Case(2).all_ready()
    case.exit(0)
    case.orders(1)
    case.exit(0, ExitCode.COULD_NOT_BOOT, "port 2935 in use")
    assert case.crew.phase is Phase.RUNNING
    assert case.orders(2) == [(Order.SPAWN, 0)]


def test_heartbeats_keep_a_worker_alive() -> None:
    case = Case(1).all_ready()
    for _ in range(10):
        assert case.orders(9) == []
        case.heard(0)


def test_a_silent_worker_is_aborted_then_killed() -> None:
    case = Case(1).all_ready()
    assert case.orders(SETTINGS.heartbeat_timeout_s) == [(Order.ABORT, 0)]
    assert case.crew.ready_slots == set()
    assert case.orders() == []
    assert case.orders(ABORT_GRACE_S) == [(Order.KILL, 0)]
    assert case.orders(3600) == []
    assert case.exit(0, -9) is Sequel.REPLACED
    assert case.orders(1) == [(Order.SPAWN, 0)]


def test_a_heartbeat_that_comes_too_late_does_not_save_an_aborted_worker() -> None:
    case = Case(1).all_ready()
    case.orders(SETTINGS.heartbeat_timeout_s)
    case.heard(0)
    case.ready(0)
    assert case.orders(ABORT_GRACE_S) == [(Order.KILL, 0)]


def test_a_worker_that_does_not_get_ready_is_aborted() -> None:
    case = Case(1)
    case.orders()
    case.heard(0)
    assert case.orders(SETTINGS.start_timeout_s - 1) == []
    assert case.orders(1) == [(Order.ABORT, 0)]


def test_a_supervisor_that_has_overslept_blames_nobody() -> None:
    case = Case(2).all_ready()
    case.clock.advance(100)
    case.crew.overslept(case.now)
    assert case.orders() == []
    assert case.crew.next_deadline() == case.now + SETTINGS.heartbeat_timeout_s


def test_a_drain_asks_stops_and_kills() -> None:
    case = Case(2).all_ready()
    case.crew.advance(Phase.DRAINING, case.now)
    assert case.orders() == [(Order.DRAIN, 0), (Order.DRAIN, 1)]
    case.exit(0, 0)
    for _ in range(2):
        assert case.orders(9) == []
        case.heard(1)
    assert case.orders(2) == [(Order.STOP, 1)]
    assert case.orders(STOP_GRACE_S) == [(Order.KILL, 1)]
    assert not case.crew.finished
    assert case.exit(1, -9) is Sequel.NOTHING
    assert case.crew.finished
    assert case.crew.outcome == Outcome(code=ExitCode.OK)


def test_a_drain_stops_those_that_are_still_starting() -> None:
    case = Case(2)
    case.orders()
    case.ready(1)
    case.crew.advance(Phase.DRAINING, case.now)
    assert case.orders() == [(Order.STOP, 0), (Order.DRAIN, 1)]


def test_a_stop_ends_a_drain_and_is_not_undone_by_one() -> None:
    case = Case(1).all_ready()
    case.crew.advance(Phase.DRAINING, case.now)
    case.orders()
    case.crew.advance(Phase.STOPPING, case.now)
    assert case.orders() == [(Order.STOP, 0)]
    case.crew.advance(Phase.DRAINING, case.now)
    assert case.crew.phase is Phase.STOPPING


def test_nobody_is_aborted_for_being_silent_while_stopping() -> None:
    case = Case(1).all_ready()
    case.clock.advance(SETTINGS.heartbeat_timeout_s - 1)
    case.crew.advance(Phase.STOPPING, case.now)
    assert case.orders() == [(Order.STOP, 0)]
    assert case.orders(2) == []


def test_a_wedged_worker_is_killed_in_a_drain_too() -> None:
    case = Case(1).all_ready()
    case.crew.advance(Phase.DRAINING, case.now)
    case.orders()
    assert case.orders(SETTINGS.heartbeat_timeout_s) == [(Order.ABORT, 0)]
    assert case.orders(ABORT_GRACE_S) == [(Order.KILL, 0)]


def test_no_replacement_is_started_for_a_node_that_ends() -> None:
    case = Case(2).all_ready()
    case.exit(0)
    case.crew.advance(Phase.DRAINING, case.now)
    assert case.orders(SETTINGS.backoff_max_s) == [(Order.DRAIN, 1)]


def test_a_node_without_workers_left_ends_at_once() -> None:
    case = Case(1).all_ready()
    case.exit(0)
    case.crew.advance(Phase.DRAINING, case.now)
    assert case.crew.finished


# Generations


def test_a_reload_starts_new_workers_beside_the_old_ones_and_retires_those() -> None:
    case = Case(2).all_ready()
    assert case.reload(workers=3) == 1
    assert case.all_orders() == [(Order.SPAWN, Post(1, slot)) for slot in range(3)]
    assert not case.ready(0, 1)
    assert not case.ready(2, 1)
    assert (case.crew.serving, case.crew.ready_slots) == (0, {0, 1})
    assert case.all_orders() == []
    assert case.ready(1, 1)
    assert (case.crew.serving, case.crew.candidate) == (1, None)
    assert case.crew.ready_slots == {0, 1, 2}
    assert case.all_orders() == [(Order.RETIRE, Post(0, 0)), (Order.RETIRE, Post(0, 1))]
    assert case.all_orders() == []


def test_siblings_are_of_one_generation() -> None:
    case = Case(2).all_ready()
    case.reload()
    case.all_orders()
    case.ready(0, 1)
    assert case.crew.members == {0: {0, 1}, 1: {0}}


def test_a_retired_generation_is_forgotten_when_its_last_worker_has_gone() -> None:
    case = Case(2).all_ready()
    case.reload()
    case.all_ready().all_orders()
    assert case.exit(0, 0) is Sequel.NOTHING
    assert case.exit(1, -11) is Sequel.NOTHING  # not replaced, whatever ended it
    assert case.all_orders(case.crew.next_deadline() - case.now - 0.1) == []
    assert set(case.crew.states) == {Post(1, 0), Post(1, 1)}
    assert case.crew.members.keys() == {1}


def test_retirement_has_a_deadline_then_comes_a_drain_then_a_stop() -> None:
    case = Case(1).all_ready()
    case.reload(workers=1)
    case.all_ready().all_orders()

    def pass_time(seconds: float) -> list[tuple[Order, Post]]:
        given = []
        for _ in range(round(seconds)):
            case.heard(0, 0)
            case.heard(0, 1)
            given += case.all_orders(1)
        return given

    old = Post(0, 0)
    assert pass_time(SETTINGS.retire_s - 1) == []
    assert pass_time(1) == [(Order.DRAIN, old)]
    assert pass_time(SETTINGS.drain_s) == [(Order.STOP, old)]
    assert pass_time(STOP_GRACE_S) == [(Order.KILL, old)]
    assert case.crew.phase is Phase.RUNNING


def test_the_times_of_a_retirement_are_those_in_force() -> None:
    case = Case(1).all_ready()
    case.reload(workers=1, settings=SETTINGS.model_copy(update={"retire_s": 5.0}))
    case.all_ready().all_orders()
    assert case.all_orders(5) == [(Order.DRAIN, Post(0, 0))]


def test_a_reload_whose_worker_ends_leaves_the_old_ones_as_they_are() -> None:
    for code in (ExitCode.COULD_NOT_BOOT, ExitCode.CRASHED, -9):
        case = Case(2).all_ready()
        case.reload()
        case.all_orders()
        case.ready(0, 1)  # clients may have come to it
        assert case.exit(1, code, generation=1) is Sequel.RELOAD_FAILED
        assert (case.crew.serving, case.crew.candidate) == (0, None)
        assert case.all_orders() == [(Order.RETIRE, Post(1, 0))]
        assert case.exit(0, 0, generation=1) is Sequel.NOTHING
        assert case.all_orders() == []
        assert case.crew.ready_slots == {0, 1}


def test_a_reload_whose_worker_does_not_get_ready_fails() -> None:
    case = Case(1).all_ready()
    case.reload(workers=1)
    case.all_orders(SETTINGS.start_timeout_s - 1)
    case.all_orders()
    case.heard(0)
    for _ in range(int(SETTINGS.start_timeout_s)):
        case.heard(0)
        if (Order.ABORT, Post(1, 0)) in case.all_orders(1):
            break
    assert case.exit(0, -6, generation=1) is Sequel.RELOAD_FAILED


def test_a_failed_reload_costs_no_restarts() -> None:
    case = Case(1).all_ready()
    for number in range(1, 3 * SETTINGS.restart_budget):
        assert case.reload(workers=1) == number
        case.all_orders()
        case.exit(0, generation=number)
        case.heard(0)
    assert case.crew.phase is Phase.RUNNING
    assert case.exit(0) is Sequel.REPLACED


def test_an_old_worker_that_dies_during_a_reload_is_replaced_as_ever() -> None:
    case = Case(2).all_ready()
    case.reload()
    case.all_orders()
    assert case.exit(0) is Sequel.REPLACED
    assert case.all_orders(1) == [(Order.SPAWN, Post(0, 0))]
    case.ready(0, 1)
    assert case.ready(1, 1)
    # The replacement is still starting: it has nobody to wait for.
    assert case.all_orders() == [(Order.STOP, Post(0, 0)), (Order.RETIRE, Post(0, 1))]


def test_a_reload_overtakes_one_that_is_not_done() -> None:
    case = Case(2).all_ready()
    case.reload()
    case.all_orders()
    case.ready(0, 1)
    assert case.reload() == 2
    assert case.all_orders() == [
        (Order.RETIRE, Post(1, 0)),
        (Order.STOP, Post(1, 1)),
        (Order.SPAWN, Post(2, 0)),
        (Order.SPAWN, Post(2, 1)),
    ]
    assert not case.ready(1, 1)  # too late
    case.ready(0, 2)
    assert case.ready(1, 2)
    assert case.crew.serving == 2


def test_reloads_that_were_overtaken_before_they_began_leave_nothing() -> None:
    case = Case(1).all_ready()
    for _ in range(5):
        case.reload(workers=1)
    assert case.all_orders() == [(Order.SPAWN, Post(5, 0))]
    assert case.crew.members.keys() == {0, 5}


def test_an_end_during_a_reload_ends_all_generations() -> None:
    case = Case(1).all_ready()
    case.reload(workers=1)
    case.all_ready().all_orders()
    case.reload(workers=2)
    case.all_orders()
    case.ready(0, 2)
    case.crew.advance(Phase.DRAINING, case.now)
    assert case.all_orders() == [
        (Order.DRAIN, Post(1, 0)),
        (Order.DRAIN, Post(0, 0)),
        (Order.DRAIN, Post(2, 0)),
        (Order.STOP, Post(2, 1)),
    ]
    assert not case.ready(1, 2)
    for generation, slot in ((1, 0), (0, 0), (2, 0), (2, 1)):
        assert not case.crew.finished
        assert case.exit(slot, 0, generation=generation) is Sequel.NOTHING
    assert case.crew.finished
    assert case.crew.outcome == Outcome(code=ExitCode.OK)


def test_a_reload_may_come_before_the_node_was_complete() -> None:
    case = Case(2)
    case.all_orders()
    case.ready(0)
    case.reload(workers=1)
    case.all_orders()
    assert case.ready(0, 1)
    assert case.crew.was_complete
    assert case.all_orders() == [(Order.RETIRE, Post(0, 0)), (Order.STOP, Post(0, 1))]


POSTS = st.builds(Post, st.integers(0, 4), st.integers(0, 2))


class CrewMachine(RuleBasedStateMachine):
    """Whatever happens: orders make sense, somebody serves, and what is to end does, in time."""

    def __init__(self) -> None:
        super().__init__()
        self.case = Case(3)
        self.alive: set[Post] = set()
        self.generations = 0
        self.retiring_since: dict[int, float] = {}

    @rule(seconds=st.floats(0, 40))
    def time_passes(self, seconds: float) -> None:
        self.case.clock.advance(seconds)

    @rule(post=POSTS)
    def gets_ready(self, post: Post) -> None:
        if post in self.alive:
            self.case.crew.ready(post, self.case.now)

    @rule()
    def all_get_ready(self) -> None:
        for post in sorted(self.alive):
            self.case.crew.ready(post, self.case.now)

    @rule(post=POSTS)
    def is_heard(self, post: Post) -> None:
        if post in self.alive:
            self.case.crew.heard(post, self.case.now)

    @rule()
    def all_are_heard(self) -> None:
        for post in self.alive:
            self.case.crew.heard(post, self.case.now)

    @rule(post=POSTS, code=st.sampled_from([0, 1, 4, -9]))
    def exits(self, post: Post, code: int) -> None:
        if post in self.alive:
            serving, phase = self.case.crew.serving, self.case.crew.phase
            self.alive.remove(post)
            sequel = self.case.crew.exited(post, code, self.case.now)
            assert self.case.crew.serving == serving
            if post.generation != serving:  # only those that serve can end the node
                assert self.case.crew.phase is phase
                assert sequel in (Sequel.NOTHING, Sequel.RELOAD_FAILED)

    @precondition(lambda self: self.case.crew.phase is Phase.RUNNING and self.generations < 4)
    @rule(workers=st.integers(1, 3))
    def a_reload_is_wanted(self, workers: int) -> None:
        self.generations += 1
        assert self.case.reload(workers) == self.generations

    @rule(phase=st.sampled_from([Phase.DRAINING, Phase.STOPPING, Phase.KILLING]))
    @precondition(lambda self: self.generations > 1)
    def end_is_wanted(self, phase: Phase) -> None:
        self.case.crew.advance(phase, self.case.now)

    @rule()
    def orders_are_carried_out(self) -> None:
        crew = self.case.crew
        wanted = crew.phase  # when the orders are given; a kill among them may spend the budget
        serving, candidate = crew.serving, crew.candidate
        for order, post in self.case.all_orders():
            if order is Order.SPAWN:
                assert wanted is Phase.RUNNING
                assert post.generation in (serving, candidate)
                assert post not in self.alive
                self.alive.add(post)
            else:
                assert post in self.alive
            if order in (Order.RETIRE, Order.DRAIN, Order.STOP) and wanted is Phase.RUNNING:
                assert post.generation not in (serving, candidate)
            if order is Order.KILL:
                self.alive.remove(post)
                crew.exited(post, -9, self.case.now)
        for post in self.alive:
            if post.generation not in (serving, candidate):
                self.retiring_since.setdefault(post.generation, self.case.now)

    @precondition(lambda self: self.case.crew.phase is not Phase.RUNNING)
    @rule()
    def an_end_comes_in_time(self) -> None:
        began = self.case.now
        while not self.case.crew.finished:
            self.orders_are_carried_out()
            self._skip_to_deadline()
        assert self.case.now - began <= SETTINGS.drain_s + STOP_GRACE_S

    @rule()
    def retired_ones_end_in_time(self) -> None:
        began = self.case.now
        crew = self.case.crew
        limit = SETTINGS.retire_s + SETTINGS.drain_s + STOP_GRACE_S
        while {post.generation for post in self.alive} - {crew.serving, crew.candidate}:
            self.orders_are_carried_out()
            assert self.case.now - began <= limit
            self._skip_to_deadline()
            for post in self.alive:
                crew.heard(post, self.case.now)

    def _skip_to_deadline(self) -> None:
        deadline = self.case.crew.next_deadline()
        if not self.case.crew.finished and deadline < math.inf:
            self.case.clock.now = max(self.case.now, deadline)

    @invariant()
    def crew_and_world_agree(self) -> None:
        crew = self.case.crew
        assert set(crew.states) == self.alive
        ready = {Post(number, slot) for number, slots in crew.members.items() for slot in slots}
        assert ready <= self.alive

    @invariant()
    def the_newest_that_was_complete_serves(self) -> None:
        crew = self.case.crew
        assert crew.candidate is None or crew.candidate > crew.serving
        assert crew.serving == 0 or crew.was_complete


CrewMachine.TestCase.settings = hypothesis_settings(max_examples=100, deadline=None)
TestCrew = CrewMachine.TestCase
