from common.supervisor.app import Post
from common.supervisor.crew import Outcome, Sequel
from common.supervisor.exit_codes import ExitCode
from common.supervisor.generation import STOP_GRACE_S, Order, Phase
from tests.support.crew import SETTINGS, Case


def test_a_node_is_complete_when_all_have_been_ready_at_once() -> None:
    case = Case(2)
    case.orders()
    case.ready(0)
    assert (case.crew.ready_slots, case.crew.was_complete) == ({0}, False)
    case.ready(1)
    assert (case.crew.ready_slots, case.crew.was_complete) == ({0, 1}, True)
    case.exit(1)
    assert (case.crew.ready_slots, case.crew.was_complete) == ({0}, True)


def test_a_node_that_gives_up_ends_with_the_reason() -> None:
    case = Case(2).all_ready()
    for slot in (0, 1):
        for _ in range(SETTINGS.give_up_after - 1):
            assert case.exit(slot) is Sequel.REPLACED
            assert (Order.SPAWN, slot) in case.orders(8)
            case.heard(0)
    assert case.exit(0) is Sequel.REPLACED
    case.orders(8)
    assert case.exit(1, -11) is Sequel.NODE_ENDS
    assert case.crew.phase is Phase.STOPPING
    assert case.orders() == [(Order.STOP, 0)]
    case.exit(0, 0)
    assert case.crew.finished
    assert case.crew.outcome == Outcome(
        code=ExitCode.GAVE_UP,
        reason="every worker ended 5 times in a row before it was well for 15 s, "
        "the last one with signal_11",
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


def test_a_supervisor_that_has_overslept_blames_nobody() -> None:
    case = Case(2).all_ready()
    case.clock.advance(100)
    case.crew.overslept(case.now)
    assert case.orders() == []
    assert case.crew.next_deadline() == case.now + SETTINGS.heartbeat_timeout_s


def test_a_stop_ends_a_drain_and_is_not_undone_by_one() -> None:
    case = Case(1).all_ready()
    case.crew.advance(Phase.DRAINING, case.now)
    case.orders()
    case.crew.advance(Phase.STOPPING, case.now)
    assert case.orders() == [(Order.STOP, 0)]
    case.crew.advance(Phase.DRAINING, case.now)
    assert case.crew.phase is Phase.STOPPING


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


# Reloads


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


def test_workers_of_a_failed_reload_are_not_counted() -> None:
    case = Case(1).all_ready()
    for number in range(1, 3 * SETTINGS.give_up_after):
        assert case.reload(workers=1) == number
        case.all_orders()
        case.exit(0, generation=number)
        case.heard(0)
    assert case.crew.phase is Phase.RUNNING
    assert case.exit(0) is Sequel.REPLACED


def test_a_reload_counts_failures_anew_by_its_own_settings() -> None:
    case = Case(1).all_ready()
    for _ in range(SETTINGS.give_up_after - 1):
        case.exit(0)
        case.all_orders(8)
    case.reload(workers=1, settings=SETTINGS.model_copy(update={"give_up_after": 2}))
    case.all_ready().all_orders()
    assert case.exit(0, generation=1) is Sequel.REPLACED
    case.all_orders(1)
    assert case.exit(0, generation=1) is Sequel.NODE_ENDS


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
