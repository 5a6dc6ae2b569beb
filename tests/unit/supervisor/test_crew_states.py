"""Whatever happens to a crew, in whatever order."""

import math

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from common.supervisor.app import Post
from common.supervisor.crew import Sequel
from common.supervisor.generation import ABORT_GRACE_S, STOP_GRACE_S, Order, Phase
from tests.support.crew import SETTINGS, Case

POSTS = st.builds(Post, st.integers(0, 4), st.integers(0, 2))
ROUNDING_S = 1e-6  # of sums of floats


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
        wanted = crew.phase  # when the orders are given; a kill among them may be one too many
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
        assert self.case.now - began <= SETTINGS.drain_s + STOP_GRACE_S + ROUNDING_S

    @rule()
    def retired_ones_end_in_time(self) -> None:
        began = self.case.now
        crew = self.case.crew
        limit = SETTINGS.retire_s + SETTINGS.drain_s + STOP_GRACE_S + ROUNDING_S
        limit += SETTINGS.start_timeout_s + ABORT_GRACE_S  # a candidate may fail first, and retire
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
