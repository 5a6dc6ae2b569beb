import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.config.address import join_address, split_address


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("0.0.0.0:1935", "0.0.0.0", 1935),
        (":0", "", 0),
        ("[::1]:8080", "::1", 8080),
        ("edge-1.example:65535", "edge-1.example", 65535),
    ],
)
def test_addresses_are_split(address: str, host: str, port: int) -> None:
    assert split_address(address) == (host, port)
    assert join_address(host, port) == address


@pytest.mark.parametrize(
    "address",
    ["", "host", "host:", "host:x", "host:65536", "::1:80", "a b:1", "[::1:80", "h:\u0663"],
)
def test_bad_addresses_are_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"must|needs"):
        split_address(address)


@given(st.text())
def test_any_text_is_split_or_refused(text: str) -> None:
    try:
        host, port = split_address(text)
    except ValueError:
        return
    assert 0 <= port <= 65535
    assert not host.startswith("[")
