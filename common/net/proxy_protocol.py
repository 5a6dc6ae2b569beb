"""The PROXY protocol: what a load balancer writes before a client's bytes to say who it is.

Version 1 is a line of text, version 2 is binary [PROXY protocol §2.1, §2.2]; SRS's own proxy writes
a shorter prefix. Additions of version 2 (TLVs) are skipped, the CRC32c among them: TCP has carried
and checked the bytes already.
"""

import ipaddress
import struct
from dataclasses import dataclass
from typing import Final

from common.errors import ProxyHeaderError

MAX_TEXT_BYTES: Final = 107
"""The longest line that version 1 can make, its end included."""

MAX_BINARY_BYTES: Final = 4096
"""What may follow the first 16 bytes of version 2; balancers send 12 to a few hundred."""

MAX_SRS_BYTES: Final = 1024
"""What may follow SRS's prefix of 3 bytes; its own proxy sends 4."""

_TEXT: Final = b"PROXY "
_TEXT_END: Final = b"\r\n"
_BINARY: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_BINARY_HEAD: Final = struct.Struct("!12sBBH")  # signature, version and command, family, length
_SRS: Final = b"\xf3"
_SRS_HEAD_BYTES: Final = 3

_LOCAL: Final = 0x20  # version 2, and a command: the balancer itself speaks, to see if we live
_PROXY: Final = 0x21
_INET: Final = 0x1
_INET6: Final = 0x2
_ADDRESS_BYTES: Final = {0x0: 0, _INET: 12, _INET6: 36, 0x3: 216}  # by family; 3 is AF_UNIX

Client = tuple[str, int]
"""IP address and port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyHeader:
    """A whole header. ``client`` is None where it names none: a health check, a Unix socket."""

    client: Client | None
    size: int  # in bytes; what follows is the client's


def parse_proxy_header(data: bytes) -> ProxyHeader | None:
    """Return the header that ``data`` begins with; None while it is incomplete.

    Raises `ProxyHeaderError`: ``proxy_header_missing`` as soon as ``data`` begins with none, and
    ``proxy_header_malformed`` for one that breaks the protocol or a limit.
    """
    if _begins(data, _TEXT):
        return _parse_text(data)
    if _begins(data, _BINARY):
        return _parse_binary(data)
    if data[:1] == _SRS:
        return _parse_srs(data)
    raise ProxyHeaderError("proxy_header_missing", "the first bytes are no PROXY protocol header")


def _begins(data: bytes, signature: bytes) -> bool:
    return data[: len(signature)] == signature[: len(data)]


def _parse_text(data: bytes) -> ProxyHeader | None:
    end = data.find(_TEXT_END, 0, MAX_TEXT_BYTES)
    if end < 0:
        if len(data) >= MAX_TEXT_BYTES:
            raise _malformed(f"no end of the line within {MAX_TEXT_BYTES} bytes")
        return None
    size = end + len(_TEXT_END)
    try:
        words = data[len(_TEXT) : end].decode("ascii").split(" ")
    except UnicodeDecodeError:
        raise _malformed("not ASCII") from None
    if words[0] == "UNKNOWN":  # whatever follows it is to be ignored
        return ProxyHeader(client=None, size=size)
    match words:
        case ["TCP4" | "TCP6" as family, source, target, source_port, target_port]:
            version = 4 if family == "TCP4" else 6
            client = _text_ip(source, version), _text_port(source_port)
            _text_ip(target, version), _text_port(target_port)
            return ProxyHeader(client=client, size=size)
        case _:
            raise _malformed("neither UNKNOWN nor TCP4 or TCP6 with two addresses and two ports")


def _text_ip(text: str, version: int) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise _malformed("an address is none") from None
    if address.version != version or "%" in text:
        raise _malformed(f"an address is not of IPv{version}")
    return _plain(address)


def _text_port(text: str) -> int:
    if not text.isdecimal() or (text != "0" and text.startswith("0")) or int(text) > 0xFFFF:
        raise _malformed("a port is none")
    return int(text)


def _parse_binary(data: bytes) -> ProxyHeader | None:
    head = _BINARY_HEAD.size
    if len(data) < head:
        return None
    _, command, family, length = _BINARY_HEAD.unpack_from(data)
    if command not in (_LOCAL, _PROXY):
        raise _malformed(f"version and command {command:#04x} are not known")
    if length > MAX_BINARY_BYTES:
        raise _malformed(f"{length} bytes of addresses, at most {MAX_BINARY_BYTES} are taken")
    if len(data) < head + length:
        return None
    client = _binary_client(family >> 4, data[head : head + length]) if command == _PROXY else None
    return ProxyHeader(client=client, size=head + length)


def _binary_client(family: int, block: bytes) -> Client | None:
    needed = _ADDRESS_BYTES.get(family)
    if needed is None:
        raise _malformed(f"address family {family} is not known")
    if len(block) < needed:
        raise _malformed(f"{len(block)} bytes of addresses, this family needs {needed}")
    if family == _INET:
        return _plain(ipaddress.IPv4Address(block[:4])), int.from_bytes(block[8:10], "big")
    if family == _INET6:
        return _plain(ipaddress.IPv6Address(block[:16])), int.from_bytes(block[32:34], "big")
    return None


def _parse_srs(data: bytes) -> ProxyHeader | None:
    """Parse F3, a length of two bytes, and as many bytes, of which four are an IPv4 address."""
    if len(data) < _SRS_HEAD_BYTES:
        return None
    length = int.from_bytes(data[1:_SRS_HEAD_BYTES], "big")
    if not 4 <= length <= MAX_SRS_BYTES:
        raise _malformed(f"an SRS prefix of {length} bytes, 4 to {MAX_SRS_BYTES} are taken")
    size = _SRS_HEAD_BYTES + length
    if len(data) < size:
        return None
    address = ipaddress.IPv4Address(data[_SRS_HEAD_BYTES : _SRS_HEAD_BYTES + 4])
    return ProxyHeader(client=(str(address), 0), size=size)


def _plain(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Return one text for one client: IPv4 through an IPv6 socket is IPv4."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _malformed(detail: str) -> ProxyHeaderError:
    return ProxyHeaderError("proxy_header_malformed", detail)
