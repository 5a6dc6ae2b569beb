"""Who comes in by the port for clients: what a load balancer says of them, and how many of one.

Behind a balancer all connections come from its address. Those from trusted addresses begin with a
PROXY protocol header, and the address in it is the client's from then on: in the log, in the route,
in the limit. Relays between nodes have ports of their own and never meet the door.
"""

import ipaddress
from collections import Counter
from collections.abc import Iterable
from typing import Final

from common.config.address import join_address
from common.errors import PeerError, ProxyHeaderError
from common.net.proxy_protocol import parse_proxy_header

IPV6_CLIENT_BITS: Final = 64
"""A household gets at least so many bits of an IPv6 address to itself, and may use them all."""

TOO_MANY: Final = "too_many_of_address"

_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


class Door:
    """The rules, and the count of clients by address; one for each worker.

    ``trusted`` are networks ("10.0.0.0/8"). ``max_per_address`` 0: any number.
    """

    def __init__(
        self, trusted: Iterable[str], *, header_required: bool, max_per_address: int
    ) -> None:
        self._trusted = [ipaddress.ip_network(each) for each in trusted]
        self.header_required = header_required
        self._max_per_address = max_per_address
        self._inside: Counter[str] = Counter()

    def open_for(self, host: str) -> "Visitor | None":
        """Return what there is to know about a connection from the IP address ``host``, if any.

        Raises PeerError (`TOO_MANY`) when too many of that address are inside.
        """
        if not self._trusted and not self._max_per_address:
            return None
        address = _parsed(host)
        if any(address in network for network in self._trusted):
            return Visitor(self, awaited=True)
        visitor = Visitor(self, awaited=False)
        visitor.count(str(address))
        return visitor

    def enter(self, host: str) -> str:
        """Count a client in; return what to `leave` with. Raises PeerError (`TOO_MANY`)."""
        if not self._max_per_address:
            return ""
        counted = _household(host)
        if self._inside[counted] >= self._max_per_address:
            raise PeerError(TOO_MANY, f"{self._max_per_address} of {counted} are connected")
        self._inside[counted] += 1
        return counted

    def leave(self, counted: str) -> None:
        """Count a client out."""
        self._inside[counted] -= 1
        if not self._inside[counted]:
            del self._inside[counted]


class Visitor:
    """A connection about which there is something to know."""

    __slots__ = ("_counted", "_door", "_header", "address")

    def __init__(self, door: Door, *, awaited: bool) -> None:
        self.address = ""
        """The client's "host:port" where a header named it."""
        self._door = door
        self._header: bytes | None = b"" if awaited else None
        self._counted = ""

    @property
    def awaits_header(self) -> bool:
        """Whether a header has to come yet, or may."""
        return self._header is not None

    def receive(self, data: bytes) -> bytes:
        """Take bytes while a header is awaited; return those behind it.

        Raises PeerError: a `ProxyHeaderError`, or `TOO_MANY` for the client that it names.
        """
        taken = (self._header or b"") + data
        try:
            header = parse_proxy_header(taken)
        except ProxyHeaderError as error:
            if error.reason != "proxy_header_missing" or self._door.header_required:
                raise
            self._header = None
            return taken
        if header is None:
            self._header = taken
            return b""
        self._header = None
        if header.client is not None:
            host, port = header.client
            self.address = join_address(host, port)
            self.count(host)
        return taken[header.size :]

    def count(self, host: str) -> None:
        """Count the client among those of its address. Raises PeerError (`TOO_MANY`)."""
        self._counted = self._door.enter(host)

    def leave(self) -> None:
        """Count the client out; it has gone."""
        if self._counted:
            self._door.leave(self._counted)
            self._counted = ""


def _parsed(host: str) -> _Ip:
    """Return the address; for IPv4 through an IPv6 socket the IPv4 one."""
    address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address
    return address


def _household(host: str) -> str:
    """Return what stands for all addresses of one client."""
    address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv4Address):
        return host
    return str(ipaddress.IPv6Network((int(address), IPV6_CLIENT_BITS), strict=False))
