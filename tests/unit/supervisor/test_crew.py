import math

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from common.clock import ManualClock
from common.config.model import SupervisorSettings
from common.supervisor.crew import (
    ABORT_GRACE_S,
    STOP_GRACE_S,
    Crew,
    Order,
    Outcome,
    Phase,
    WorkerState,
)
from common.supervisor.exit_codes import ExitCode

SETTINGS = SupervisorSettings(
    heartbeat_s=1,
    heartbeat_timeout_s=10,
    start_timeout_s=30,
    backoff_min_s=1,
    backoff_max_s=8,
    restart_budget=5,
    restart_window_s=600,
    drain_s=20,
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
        self.clock.advance(after_s)
        return self.crew.orders(self.now)

    def all_ready(self) -> "Case":
        for _, index in self.orders():
            self.crew.ready(index, self.now)
        return self

    def exit(self, index: int, code: int = 1, reason: str = "") -> bool:
        return self.crew.exited(index, code, self.now, reason)


def test_all_slots_are_filled_once() -> None:
    case = Case(3)
    assert case.orders() == [(Order.SPAWN, 0), (Order.SPAWN, 1), (Order.SPAWN, 2)]
    assert case.orders() == []
    assert set(case.crew.states.values()) == {WorkerState.STARTING}


def test_a_node_is_complete_when_all_have_been_ready_at_once() -> None:
    case = Case(2)
    case.orders()
    case.crew.ready(0, case.now)
    assert (case.crew.ready_slots, case.crew.was_complete) == ({0}, False)
    case.crew.ready(1, case.now)
    assert (case.crew.ready_slots, case.crew.was_complete) == ({0, 1}, True)
    case.exit(1)
    assert (case.crew.ready_slots, case.crew.was_complete) == ({0}, True)


def test_a_dead_worker_is_replaced_after_pauses_that_grow() -> None:
    case = Case(1).all_ready()
    for pause_s in (1, 2, 4):
        assert case.exit(0)
        assert case.crew.next_deadline() == case.now + pause_s
        assert case.orders(pause_s - 0.1) == []
        assert case.orders(0.1) == [(Order.SPAWN, 0)]


def test_a_worker_that_has_lived_is_replaced_after_the_shortest_pause() -> None:
    case = Case(1).all_ready()
    for _ in range(3):
        case.exit(0)
        case.orders(10)
    case.crew.ready(0, case.now)
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
        case.crew.heard(1, case.now)
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
    assert case.exit(0, ExitCode.COULD_NOT_BOOT, "port 1935 in use")
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
        case.crew.heard(0, case.now)


def test_a_silent_worker_is_aborted_then_killed() -> None:
    case = Case(1).all_ready()
    assert case.orders(SETTINGS.heartbeat_timeout_s) == [(Order.ABORT, 0)]
    assert case.crew.ready_slots == set()
    assert case.orders() == []
    assert case.orders(ABORT_GRACE_S) == [(Order.KILL, 0)]
    assert case.orders(3600) == []
    assert case.exit(0, -9)
    assert case.orders(1) == [(Order.SPAWN, 0)]


def test_a_heartbeat_that_comes_too_late_does_not_save_an_aborted_worker() -> None:
    case = Case(1).all_ready()
    case.orders(SETTINGS.heartbeat_timeout_s)
    case.crew.heard(0, case.now)
    case.crew.ready(0, case.now)
    assert case.orders(ABORT_GRACE_S) == [(Order.KILL, 0)]


def test_a_worker_that_does_not_get_ready_is_aborted() -> None:
    case = Case(1)
    case.orders()
    case.crew.heard(0, case.now)
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
        case.crew.heard(1, case.now)
    assert case.orders(2) == [(Order.STOP, 1)]
    assert case.orders(STOP_GRACE_S) == [(Order.KILL, 1)]
    assert not case.crew.finished
    assert not case.exit(1, -9)
    assert case.crew.finished
    assert case.crew.outcome == Outcome(code=ExitCode.OK)


def test_a_drain_stops_those_that_are_still_starting() -> None:
    case = Case(2)
    case.orders()
    case.crew.ready(1, case.now)
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


class CrewMachine(RuleBasedStateMachine):
    """Whatever happens: orders make sense, and a node that is to end does, in bounded time."""

    def __init__(self) -> None:
        super().__init__()
        self.case = Case(3)
        self.alive: set[int] = set()
        self.ending_since = math.inf

    @rule(seconds=st.floats(0, 40))
    def time_passes(self, seconds: float) -> None:
        self.case.clock.advance(seconds)

    @rule(index=st.integers(0, 2))
    def gets_ready(self, index: int) -> None:
        if index in self.alive:
            self.case.crew.ready(index, self.case.now)

    @rule(index=st.integers(0, 2))
    def is_heard(self, index: int) -> None:
        if index in self.alive:
            self.case.crew.heard(index, self.case.now)

    @rule(index=st.integers(0, 2), code=st.sampled_from([0, 1, 4, -9]))
    def exits(self, index: int, code: int) -> None:
        if index in self.alive:
            self.alive.remove(index)
            self.case.exit(index, code)

    @rule(phase=st.sampled_from([Phase.DRAINING, Phase.STOPPING, Phase.KILLING]))
    def end_is_wanted(self, phase: Phase) -> None:
        self.case.crew.advance(phase, self.case.now)

    @rule()
    def orders_are_carried_out(self) -> None:
        crew = self.case.crew
        if crew.phase is not Phase.RUNNING:
            self.ending_since = min(self.ending_since, self.case.now)
        wanted = crew.phase  # when the orders are given; a kill among them may spend the budget
        for order, index in self.case.orders():
            if order is Order.SPAWN:
                assert wanted is Phase.RUNNING
                assert index not in self.alive
                self.alive.add(index)
            else:
                assert index in self.alive
            if order is Order.KILL:
                self.alive.remove(index)
                self.case.exit(index, -9)

    @precondition(lambda self: self.case.crew.phase is not Phase.RUNNING)
    @rule()
    def an_end_comes_in_time(self) -> None:
        began = self.case.now
        while not self.case.crew.finished:
            self.orders_are_carried_out()
            deadline = self.case.crew.next_deadline()
            if not self.case.crew.finished:
                self.case.clock.now = max(self.case.now, deadline)
        assert self.case.now - began <= SETTINGS.drain_s + STOP_GRACE_S

    @invariant()
    def crew_and_world_agree(self) -> None:
        assert set(self.case.crew.states) == self.alive
        assert self.case.crew.ready_slots <= self.alive


CrewMachine.TestCase.settings = hypothesis_settings(max_examples=60, deadline=None)
TestCrew = CrewMachine.TestCase
