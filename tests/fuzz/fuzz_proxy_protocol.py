"""The header of the PROXY protocol: an answer does not depend on how the bytes are split."""

from ipaddress import ip_address

from common.errors import ProxyHeaderError
from common.net.proxy_protocol import ProxyHeader, parse_proxy_header


def target(data: bytes) -> None:
    """Give ``data`` behind its first byte as a whole, and in pieces that this byte decides."""
    step, wire = (1 + data[0], data[1:]) if data else (1, b"")
    whole = answer(wire)
    if isinstance(whole, ProxyHeader):
        assert 0 < whole.size <= len(wire)
        if whole.client is not None:
            host, port = whole.client
            assert str(ip_address(host)) == host
            assert 0 <= port <= 0xFFFF
    for size in range(step, len(wire), step):
        early = answer(wire[:size])
        if early is not None:
            assert early == whole
            break


def answer(wire: bytes) -> ProxyHeader | str | None:
    """Return the header, why there is none, or None when there may be one."""
    try:
        return parse_proxy_header(wire)
    except ProxyHeaderError as error:
        return error.reason
