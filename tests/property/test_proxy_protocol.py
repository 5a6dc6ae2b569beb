import contextlib
import ipaddress
import struct

from hypothesis import given
from hypothesis import strategies as st

from common.errors import ProxyHeaderError
from common.net.proxy_protocol import ProxyHeader, parse_proxy_header

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
PORTS = st.integers(0, 0xFFFF)
Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


def plain(address: Ip) -> str:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


@given(st.ip_addresses(), PORTS, PORTS, st.binary(max_size=40), st.booleans())
def test_what_a_balancer_writes_is_what_is_read(
    client: Ip, port: int, own_port: int, tail: bytes, is_text: bool
) -> None:
    if is_text:
        words = f"PROXY TCP{client.version} {client} {client} {port} {own_port}\r\n"
        wire = words.encode()
    else:
        block = client.packed * 2 + struct.pack("!HH", port, own_port) + tail
        family = 0x11 if client.version == 4 else 0x21
        wire = SIGNATURE + bytes((0x21, family)) + struct.pack("!H", len(block)) + block
    found = parse_proxy_header(wire + tail)
    assert found == ProxyHeader(client=(plain(client), port), size=len(wire))
    assert all(parse_proxy_header(wire[:size]) is None for size in range(len(wire)))


@given(st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, b"\xf3"]), st.binary())
def test_more_bytes_never_change_an_answer(start: bytes, rest: bytes) -> None:
    wire = start + rest
    answer: ProxyHeader | str | None = None
    for size in range(len(wire) + 1):
        before = answer
        try:
            answer = parse_proxy_header(wire[:size])
        except ProxyHeaderError as error:
            answer = error.reason
        assert before is None or answer == before
        if isinstance(answer, ProxyHeader):
            assert answer.size <= size


@given(st.binary())
def test_any_bytes_are_taken_or_refused(wire: bytes) -> None:
    with contextlib.suppress(ProxyHeaderError):
        parse_proxy_header(wire)
