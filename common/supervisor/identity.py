"""What a node calls itself and where others reach it, when nobody has said so."""

import ipaddress
import re
import secrets
import socket
from typing import Final

from common.cluster.records import NodeRole
from common.ids import NodeId

_LOCAL: Final = "127.0.0.1"
# Addresses set aside for documentation: nothing is sent, and none of them is ever a local network.
_FAR_IPV4: Final = "192.0.2.1"
_FAR_IPV6: Final = "2001:db8::1"
_DISCARD_PORT: Final = 9


def make_node_id(role: NodeRole) -> NodeId:
    """Return a new id: role and host for people, a random part so that it is the only one."""
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:64]
    return NodeId(f"{role}-{host}-{secrets.token_hex(3)}")


def find_advertise_host(listen_host: str) -> str:
    """Return the host under which other nodes reach a socket bound to ``listen_host``.

    One particular address speaks for itself. For all addresses it is the one that this host uses
    towards the outside, or loopback where there is no outside.
    """
    if not _is_any(listen_host):
        return listen_host
    routes = [(socket.AF_INET, _FAR_IPV4), (socket.AF_INET6, _FAR_IPV6)]
    for family, far in routes:
        if near := _source_address(family, far):
            return near
    return _LOCAL


def _is_any(host: str) -> bool:
    try:
        return not host or ipaddress.ip_address(host).is_unspecified
    except ValueError:  # a name
        return False


def _source_address(family: socket.AddressFamily, far: str) -> str:
    # Connecting a UDP socket sends nothing; it makes the kernel choose a route and an address.
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((far, _DISCARD_PORT))
            return str(probe.getsockname()[0])
    except OSError:  # no route
        return ""
