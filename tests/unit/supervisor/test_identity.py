import re

import pytest

from common.cluster.records import NodeRole
from common.config.model import NodeSettings
from common.supervisor.identity import find_advertise_host, make_node_id


def test_a_made_id_is_allowed_and_unlike_any_other() -> None:
    made = {make_node_id(NodeRole.EDGE) for _ in range(10)}
    assert len(made) == 10
    for each in made:
        assert NodeSettings(id=each).id == each
        assert re.match(r"edge-.+-[0-9a-f]{6}$", each)


def test_a_strange_host_name_makes_an_allowed_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "grünes haus/" + "x" * 200)
    made = make_node_id(NodeRole.ORIGIN)
    assert NodeSettings(id=made).id.startswith("origin-gr-nes-haus-xxx")


@pytest.mark.parametrize("host", ["127.0.0.1", "10.1.2.3", "::1", "origin-0.origins"])
def test_one_particular_address_speaks_for_itself(host: str) -> None:
    assert find_advertise_host(host) == host


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::"])
def test_all_addresses_become_one_that_can_be_reached(host: str) -> None:
    assert find_advertise_host(host) not in ("", "0.0.0.0", "::")


def test_a_host_without_a_network_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.supervisor.identity._FAR_IPV4", "no address")
    monkeypatch.setattr("common.supervisor.identity._FAR_IPV6", "no address")
    assert find_advertise_host("0.0.0.0") == "127.0.0.1"
