"""The network between origins and edges fails."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final

from tests.failure.lab import Fault, Lab
from tests.failure.row import Limits
from tests.failure.scenario import Scenario
from tests.support.chaos_proxy import ChaosProxy, Way

LOSSY_S: Final = 10.0


def trouble(
    make: Callable[[ChaosProxy], None], seconds: float
) -> Callable[[Lab], Awaitable[Fault]]:
    """Make a scenario: the same trouble in all relays' ways for a while."""

    async def act(lab: Lab) -> Fault:
        proxies = [proxy for each in lab.cluster.relay_proxies.values() for proxy in each]
        at = monotonic()
        for proxy in proxies:
            make(proxy)
        await asyncio.sleep(seconds)
        for proxy in proxies:
            proxy.heal_ways()
        return Fault(at=at, streams=frozenset(lab.streams))

    return act


async def packets_lost(lab: Lab) -> Fault:
    """Lose 1 % of all packets between origins and edges, of either direction."""
    way = lab.cluster.lossy_way
    assert way is not None
    at = monotonic()
    await way.lose(0.01)
    await asyncio.sleep(LOSSY_S)
    lost = await way.heal()
    problems = () if lost else ("not one packet was lost",)
    return Fault(at=at, streams=frozenset(lab.streams), problems=problems)


def _cut_and_hold(proxy: ChaosProxy) -> None:
    proxy.cut()
    proxy.freeze()  # who connects anew has to wait


def _limits(gap_ms: float, *, lost: bool = False) -> Limits:
    return Limits(new_session=False, gap_ms=gap_ms, lost=lost)


SCENARIOS = (
    Scenario(
        name="network-cut",
        title="Relays reset, the way is free again at once",
        act=trouble(ChaosProxy.cut, 1.0),
        limits=_limits(1000),
        quick=True,
    ),
    Scenario(
        name="network-cut-1s",
        title="Relays reset, the way is free again after 1 s",
        act=trouble(_cut_and_hold, 1.0),
        limits=_limits(1000 + 1000),
    ),
    Scenario(
        name="network-frozen-2s",
        title="Nothing passes for 2 s (less than the silence time-out)",
        act=trouble(ChaosProxy.freeze, 2.0),
        limits=_limits(2000 + 500),
    ),
    Scenario(
        name="network-frozen-5s",
        title="Nothing passes for 5 s (more than the silence time-out)",
        act=trouble(ChaosProxy.freeze, 5.0),
        limits=_limits(5000 + 2500, lost=True),
    ),
    Scenario(
        name="network-delay-200ms",
        title="200 ms more in both ways",
        act=trouble(lambda proxy: proxy.delay(0.2), 4.0),
        limits=_limits(700),
    ),
    Scenario(
        name="network-loss-1-percent",
        title=f"1 % of the packets lost in both ways for {LOSSY_S:g} s",
        act=packets_lost,
        limits=_limits(1500),
        lossy=True,
    ),
    # Where packets cannot be lost: every hundredth piece comes as late as TCP's slowest recovery
    # would have it, which it seldom is, and each run is like the last.
    Scenario(
        name="network-loss-imitated",
        title="1 % of the pieces come a retransmission (200 ms) later",
        act=trouble(lambda proxy: proxy.lose(0.01), 5.0),
        limits=_limits(1500),
    ),
    Scenario(
        name="network-one-way-back",
        title="Nothing passes from origins to edges for 5 s",
        act=trouble(lambda proxy: proxy.freeze(Way.BACK), 5.0),
        limits=_limits(5000 + 2500, lost=True),
    ),
    Scenario(
        name="network-one-way-forth",
        title="Nothing passes from edges to origins for 5 s",
        act=trouble(lambda proxy: proxy.freeze(Way.FORTH), 5.0),
        limits=_limits(1000),
    ),
)
