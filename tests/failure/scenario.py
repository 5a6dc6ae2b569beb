"""What a scenario is, and how one is run."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass, field
from typing import Final

from tests.failure.cluster import until_true
from tests.failure.lab import Fault, Lab, Profile
from tests.failure.row import Limits, Observed, Row, make_row

LEAD_S: Final = 0.5
"""Of undisturbed play before the fault, so that its gap is not that of the start."""

NOTICE_S: Final = 0.7
"""After so long a viewer that gets nothing counts as one."""

FENCE_S: Final = 6.0
"""An origin whose lease is lost knows it after a renewal period at the latest, and its publisher
has been told and closed soon after."""


Act = Callable[[Lab], Awaitable[Fault]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A fault, and what must hold when it happens.

    ``act`` does it all, the repair included, and returns what it did; it is over when the cluster
    can be expected to become well again by itself.
    """

    name: str
    title: str
    act: Act
    limits: Limits = field(default_factory=Limits)
    _: KW_ONLY
    quick: bool = False  # whether it is part of the short run
    observe_s: float = 1.5  # after everybody plays again
    settings: tuple[str, ...] = ()
    origin_settings: tuple[str, ...] = ()
    """More settings, for origins only; they win."""
    extra_edges: tuple[tuple[str, ...], ...] = ()
    """Settings of edges besides those that have viewers."""
    sentinels: bool = False  # whether Redis has a replica, and sentinels to promote it
    lossy: bool = False  # whether packets can be lost between origins and edges
    long: bool = False  # takes minutes: run when asked for
    errors: tuple[str, ...] = ()  # what nodes log as an error because of the fault, and should


async def run_scenario(scenario: Scenario, profile: Profile) -> Row:
    """Run a scenario in a lab of its own; return its row, problems included.

    Raises `CannotBeHad` where the machine has not got what the scenario needs.
    """
    async with Lab(
        profile,
        scenario.settings,
        scenario.extra_edges,
        origin_settings=scenario.origin_settings,
        sentinels=scenario.sentinels,
        lossy=scenario.lossy,
    ) as lab:
        return await run_in(lab, scenario)


async def run_in(lab: Lab, scenario: Scenario) -> Row:
    """Run a scenario in a lab where everybody plays; return its row, problems included."""
    before = lab.usage()
    lab.cluster.errors.clear()
    await lab.viewers.ask("mark")
    await asyncio.sleep(LEAD_S)
    fault = await scenario.act(lab)
    problems = await _settle(lab, fault)
    await asyncio.sleep(scenario.observe_s)
    seen = Observed(
        fault=fault,
        report=await lab.viewers.ask("report"),
        news=lab.news,
        before=before,
        after=lab.usage(),
    )
    row = make_row(scenario.name, scenario.title, seen, scenario.limits)
    row.problems.extend(problems)
    errors = [
        line for line in lab.cluster.errors if not any(due in line for due in scenario.errors)
    ]
    row.problems.extend(f"logged: {line}" for line in errors[:5])
    return row


async def _settle(lab: Lab, fault: Fault) -> list[str]:
    """Wait until all is well; return what is not."""
    problems = []
    await asyncio.sleep(NOTICE_S)
    try:
        await lab.steady()
        await until_true(lab.one_publisher_each, FENCE_S, "a stream has more than one publisher")
    except TimeoutError as error:
        problems.append(str(error))
    if fault.zombie:
        stolen = set(lab.claims_by(fault.zombie, fault.zombie_back_at)) & fault.streams
        problems += [f"{fault.zombie} claimed {stream} again" for stream in sorted(stolen)]
    return problems
