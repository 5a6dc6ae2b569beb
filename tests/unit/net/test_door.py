import pytest

from common.errors import PeerError, ProxyHeaderError
from common.net.door import Door, Visitor

HEADER = b"PROXY TCP4 203.0.113.7 10.0.0.1 51234 1935\r\n"


def door(*trusted: str, required: bool = True, most: int = 0) -> Door:
    return Door(trusted, header_required=required, max_per_address=most)


def proxied(door: Door, client: str = "203.0.113.7") -> Visitor:
    visitor = door.open_for("10.0.0.9")
    assert visitor is not None
    version = 6 if ":" in client else 4
    assert visitor.receive(f"PROXY TCP{version} {client} {client} 1 2\r\n".encode()) == b""
    return visitor


@pytest.mark.parametrize("host", ["10.1.2.3", "::ffff:10.1.2.3", "fd00::1", "192.0.2.1"])
def test_trusted_addresses_are_those_of_the_networks(host: str) -> None:
    visitor = door("10.0.0.0/8", "fd00::/8", "192.0.2.1").open_for(host)
    assert visitor is not None
    assert visitor.awaits_header


@pytest.mark.parametrize("host", ["11.1.2.3", "::1", "192.0.2.2", "fe80::1%eth0"])
def test_c9_from_any_other_address_no_header_is_taken(host: str) -> None:
    visitor = door("10.0.0.0/8", "fd00::/8", "192.0.2.1").open_for(host)
    assert visitor is None or not visitor.awaits_header


def test_without_rules_nothing_is_kept_of_a_connection() -> None:
    assert door().open_for("10.1.2.3") is None


@pytest.mark.parametrize("size", range(1, len(HEADER) + 5))
def test_a_header_names_the_client_and_what_follows_is_the_clients(size: int) -> None:
    visitor = door("10.0.0.0/8").open_for("10.0.0.9")
    assert visitor is not None
    wire = HEADER + b"\x03C1"
    rest = b""
    for at in range(0, len(wire), size):
        piece = wire[at : at + size]
        rest += visitor.receive(piece) if visitor.awaits_header else piece
    assert rest == b"\x03C1"
    assert visitor.address == "203.0.113.7:51234"


def test_a_missing_header_is_refused_where_it_is_required() -> None:
    visitor = door("10.0.0.0/8").open_for("10.0.0.9")
    assert visitor is not None
    with pytest.raises(ProxyHeaderError, match="missing"):
        visitor.receive(b"\x03")


def test_where_it_is_not_required_nothing_is_lost() -> None:
    visitor = door("10.0.0.0/8", required=False).open_for("10.0.0.9")
    assert visitor is not None
    assert visitor.receive(b"PRO") == b""
    assert visitor.receive(b"BE") == b"PROBE"
    assert not visitor.awaits_header
    assert visitor.address == ""


def test_a_broken_header_is_refused_even_then() -> None:
    visitor = door("10.0.0.0/8", required=False).open_for("10.0.0.9")
    assert visitor is not None
    with pytest.raises(ProxyHeaderError, match="malformed"):
        visitor.receive(b"PROXY TCP4\r\n")


def test_so_many_of_an_address_come_in_and_one_more_when_one_has_left() -> None:
    rules = door(most=2)
    first = rules.open_for("203.0.113.7")
    assert rules.open_for("203.0.113.7") is not None
    assert rules.open_for("203.0.113.8") is not None
    with pytest.raises(PeerError, match="too_many_of_address"):
        rules.open_for("::ffff:203.0.113.7")
    assert first is not None
    first.leave()
    first.leave()  # once is enough
    assert rules.open_for("203.0.113.7") is not None
    with pytest.raises(PeerError, match="too_many_of_address"):
        rules.open_for("203.0.113.7")


def test_an_ipv6_client_is_its_network() -> None:
    rules = door(most=1)
    assert rules.open_for("2001:db8::1") is not None
    assert rules.open_for("2001:db8:0:1::1") is not None
    with pytest.raises(PeerError):
        rules.open_for("2001:db8::ffff:0:2")
    assert rules.open_for("fe80::1%eth0") is not None


def test_behind_a_balancer_clients_are_counted_and_the_balancer_is_not() -> None:
    rules = door("10.0.0.0/8", most=1)
    first = proxied(rules)
    proxied(rules, "203.0.113.8")
    with pytest.raises(PeerError, match="too_many_of_address"):
        proxied(rules)
    first.leave()
    first = proxied(rules)
    checks = [rules.open_for("10.0.0.9") for _ in range(3)]
    for check in checks:
        assert check is not None
        check.receive(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0")
        assert check.address == ""
        check.leave()
