from common.clock import ManualClock
from common.supervisor.budget import RestartBudget


def test_a_budget_is_spent_within_its_window() -> None:
    clock = ManualClock()
    budget = RestartBudget(3, 60.0)
    assert [budget.spend(clock.monotonic()) for _ in range(4)] == [True, True, True, False]


def test_what_was_spent_a_window_ago_is_available_again() -> None:
    clock = ManualClock()
    budget = RestartBudget(2, 60.0)
    assert budget.spend(clock.monotonic())
    clock.advance(40.0)
    assert budget.spend(clock.monotonic())
    clock.advance(19.0)
    assert not budget.spend(clock.monotonic())
    clock.advance(1.0)
    assert budget.spend(clock.monotonic())
    assert not budget.spend(clock.monotonic())
