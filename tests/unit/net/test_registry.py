from collections.abc import Callable
from typing import cast

import pytest

from common.errors import PeerError
from common.net.registry import Client, Registry

Limits = Callable[[int], Registry]


def client() -> Client:
    return cast("Client", object())


@pytest.fixture
def registry_at(monkeypatch: pytest.MonkeyPatch) -> Limits:
    """Makes a registry under a limit of open files."""

    def make(limit: int, maximum: int = 0) -> Registry:
        monkeypatch.setattr("resource.getrlimit", lambda _: (limit, limit))
        return Registry(maximum)

    return make


@pytest.mark.parametrize(
    ("limit", "first_refused", "first_relay_refused"),
    [
        (64, 32, 60),  # half, when there are few
        (1024, 768, 992),
        (20_000, 18_750, 19_843),
        (-1, (1 << 20) - 65_536, (1 << 20) - 8192),  # no limit at all
    ],
)
def test_clients_leave_descriptors_for_relays_and_relays_for_the_rest(
    registry_at: Limits, limit: int, first_refused: int, first_relay_refused: int
) -> None:
    registry = registry_at(limit)
    registry.admit(client(), first_refused - 1)
    with pytest.raises(PeerError, match="too_few_descriptors"):
        registry.admit(client(), first_refused)
    registry.admit(client(), first_relay_refused - 1, relay=True)
    with pytest.raises(PeerError, match="too_few_descriptors"):
        registry.admit(client(), first_relay_refused, relay=True)
    assert len(registry) == 2
