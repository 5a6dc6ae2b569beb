"""How the workers of one generation live and end, as the crew of a node that is never reloaded."""

from common.supervisor.crew import Outcome, Sequel
from common.supervisor.exit_codes import ExitCode
from common.supervisor.generation import ABORT_GRACE_S, STOP_GRACE_S, Order, Phase, WorkerState
from tests.support.crew import SETTINGS, Case


def test_all_slots_are_filled_once() -> None:
    case = Case(3)
    assert case.orders() == [(Order.SPAWN, 0), (Order.SPAWN, 1), (Order.SPAWN, 2)]
    assert case.orders() == []
    assert set(case.crew.states.values()) == {WorkerState.STARTING}


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
    case.clock.advance(SETTINGS.healthy_s)
    case.heard(0)
    case.exit(0)
    assert case.crew.next_deadline() == case.now + 1


def test_a_worker_that_dies_before_it_is_ready_has_not_lived() -> None:
    case = Case(1)
    case.orders()
    case.clock.advance(SETTINGS.healthy_s)
    case.exit(0)
    case.orders(10)
    case.clock.advance(SETTINGS.healthy_s)
    case.exit(0)
    assert case.crew.next_deadline() == case.now + 2


def test_a_worker_has_lived_as_long_as_it_was_heard() -> None:
    case = Case(1)
    for pause_s in (1, 2, 4):
        case.all_ready()
        assert case.orders(SETTINGS.heartbeat_timeout_s) == [(Order.ABORT, 0)]
        case.clock.advance(SETTINGS.healthy_s)  # it takes its time to die
        case.exit(0, -9)
        assert case.crew.next_deadline() == case.now + pause_s
        case.clock.advance(pause_s)


def test_slots_have_back_offs_of_their_own() -> None:
    case = Case(2).all_ready()
    for _ in range(2):
        case.exit(0)
        case.orders(10)
    case.exit(1)
    assert case.crew.next_deadline() == case.now + 1


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
