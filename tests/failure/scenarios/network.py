"""The network between origins and edges fails."""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

from tests.failure.lab import Fault, Lab
from tests.failure.row import Limits
from tests.failure.scenario import Act, Scenario
from tests.support.chaos_proxy import ChaosProxy, Way

LOSSY_S: Final = 10.0


def trouble(make: Callable[[ChaosProxy], None], seconds: float) -> Act:
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
        "network-cut",
        "Relays reset, the way is free again at once",
        trouble(ChaosProxy.cut, 1.0),
        _limits(1000),
        quick=True,
    ),
    Scenario(
        "network-cut-1s",
        "Relays reset, the way is free again after 1 s",
        trouble(_cut_and_hold, 1.0),
        _limits(1000 + 1000),
    ),
    Scenario(
        "network-frozen-2s",
        "Nothing passes for 2 s (less than the silence time-out)",
        trouble(ChaosProxy.freeze, 2.0),
        _limits(2000 + 500),
    ),
    Scenario(
        "network-frozen-5s",
        "Nothing passes for 5 s (more than the silence time-out)",
        trouble(ChaosProxy.freeze, 5.0),
        _limits(5000 + 2500, lost=True),
    ),
    Scenario(
        "network-delay-200ms",
        "200 ms more in both ways",
        trouble(lambda proxy: proxy.delay(0.2), 4.0),
        _limits(700),
    ),
    Scenario(
        "network-loss-1-percent",
        f"1 % of the packets lost in both ways for {LOSSY_S:g} s",
        packets_lost,
        _limits(1500),
        lossy=True,
    ),
    # Where packets cannot be lost: every hundredth piece comes as late as TCP's slowest recovery
    # would have it, which it seldom is, and each run is like the last.
    Scenario(
        "network-loss-imitated",
        "1 % of the pieces come a retransmission (200 ms) later",
        trouble(lambda proxy: proxy.lose(0.01), 5.0),
        _limits(1500),
    ),
    Scenario(
        "network-one-way-back",
        "Nothing passes from origins to edges for 5 s",
        trouble(lambda proxy: proxy.freeze(Way.BACK), 5.0),
        _limits(5000 + 2500, lost=True),
    ),
    Scenario(
        "network-one-way-forth",
        "Nothing passes from edges to origins for 5 s",
        trouble(lambda proxy: proxy.freeze(Way.FORTH), 5.0),
        _limits(1000),
    ),
)
