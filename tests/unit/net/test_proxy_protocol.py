"""The header of the PROXY protocol, byte by byte."""

import ipaddress
import struct

import pytest

from common.errors import ProxyHeaderError
from common.net.proxy_protocol import ProxyHeader, parse_proxy_header

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V4 = ipaddress.ip_address("203.0.113.7").packed + ipaddress.ip_address("10.0.0.1").packed
V6 = ipaddress.ip_address("2001:db8::7").packed + ipaddress.ip_address("2001:db8::1").packed
MAPPED = ipaddress.ip_address("::ffff:203.0.113.7").packed + bytes(16)
PORTS = struct.pack("!HH", 51234, 1935)
LONGEST_LINE = b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n"


def binary(command: int, family: int, block: bytes) -> bytes:
    return SIGNATURE + bytes((command, family)) + struct.pack("!H", len(block)) + block


WHOLE = [
    (b"PROXY TCP4 203.0.113.7 10.0.0.1 51234 1935\r\n", ("203.0.113.7", 51234)),
    (b"PROXY TCP6 2001:db8::7 2001:DB8::1 51234 1935\r\n", ("2001:db8::7", 51234)),
    (b"PROXY TCP6 ::ffff:203.0.113.7 ::1 0 65535\r\n", ("203.0.113.7", 0)),
    (b"PROXY UNKNOWN\r\n", None),
    (LONGEST_LINE, None),
    (binary(0x21, 0x11, V4 + PORTS), ("203.0.113.7", 51234)),
    (binary(0x21, 0x21, V6 + PORTS), ("2001:db8::7", 51234)),
    (binary(0x21, 0x21, MAPPED + PORTS), ("203.0.113.7", 51234)),
    (binary(0x21, 0x31, bytes(216)), None),  # AF_UNIX
    (binary(0x21, 0x00, b""), None),  # AF_UNSPEC
    (binary(0x20, 0x00, b""), None),  # LOCAL: a health check
    (binary(0x20, 0x11, V4 + PORTS), None),  # … whose addresses do not count
    (binary(0x20, 0xFF, b"?"), None),
    # An NLB adds a TLV of its own, and a checksum.
    (binary(0x21, 0x11, V4 + PORTS + b"\x03\0\x04\1\2\3\4\xea\0\x02\x01x"), ("203.0.113.7", 51234)),
    (binary(0x21, 0x11, V4 + PORTS + bytes(4084)), ("203.0.113.7", 51234)),
    (b"\xf3\0\x04\xcb\0\x71\x07", ("203.0.113.7", 0)),  # SRS
    (b"\xf3\0\x06\xcb\0\x71\x07??", ("203.0.113.7", 0)),
]


@pytest.mark.parametrize(("wire", "client"), WHOLE)
def test_c9_a_header_says_who_the_client_is(wire: bytes, client: tuple[str, int] | None) -> None:
    expected = ProxyHeader(client=client, size=len(wire))
    assert parse_proxy_header(wire) == expected
    assert parse_proxy_header(wire + b"\x03the client's") == expected


@pytest.mark.parametrize("wire", [wire for wire, _ in WHOLE])
def test_a_header_is_waited_for_to_its_last_byte(wire: bytes) -> None:
    assert all(parse_proxy_header(wire[:size]) is None for size in range(len(wire)))


@pytest.mark.parametrize(
    "wire",
    [
        LONGEST_LINE[:-2] + b"f\r\n",  # 108 bytes
        b"PROXY \xff\r\n",
        b"PROXY \r\n",
        b"PROXY TCP4\r\n",
        b"PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
        b"PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 ::1 1 2\r\n",
        b"PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
        b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        binary(0x11, 0x11, V4 + PORTS),  # no version 2
        binary(0x22, 0x11, V4 + PORTS),  # no command that is known
        binary(0x21, 0x41, V4 + PORTS),  # no family that is known
        binary(0x21, 0x11, V4),
        binary(0x21, 0x21, V6),
        binary(0x21, 0x31, bytes(215)),
        binary(0x21, 0x11, V4 + PORTS + bytes(4085)),
        b"\xf3\0\x03abc",
        b"\xf3\x04\x01",
    ],
)
def test_a_broken_header_is_refused(wire: bytes) -> None:
    with pytest.raises(ProxyHeaderError) as caught:
        parse_proxy_header(wire)
    assert caught.value.reason == "proxy_header_malformed"
    assert caught.value.detail


@pytest.mark.parametrize(
    "wire", [b"\x03", b"\x16\x03\x01", b"GET / HTTP/1.1", b"PROXIES", b"\r\nhello"]
)
def test_what_is_no_header_is_told_at_its_first_byte_that_differs(wire: bytes) -> None:
    with pytest.raises(ProxyHeaderError) as caught:
        parse_proxy_header(wire)
    assert caught.value.reason == "proxy_header_missing"


def test_a_length_that_is_too_large_is_refused_before_the_bytes_have_come() -> None:
    with pytest.raises(ProxyHeaderError):
        parse_proxy_header(SIGNATURE + b"\x21\x11\xff\xff")
