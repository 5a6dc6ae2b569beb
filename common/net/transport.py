"""What a connection asks of the socket under its transport."""

import asyncio
import socket

from common.config.address import join_address


def peer_name(transport: asyncio.BaseTransport) -> str:
    """Return the client's address; "unix" where it has none."""
    peer = transport.get_extra_info("peername")
    if not isinstance(peer, tuple):
        return "unix"
    host = str(peer[0])
    if "." in host:
        host = host.removeprefix("::ffff:")  # IPv4 through a socket for both
    return join_address(host, peer[1])


def descriptor(transport: asyncio.BaseTransport) -> int:
    """Return the number of the transport's file."""
    return int(transport.get_extra_info("socket").fileno())


def plain_socket(transport: asyncio.BaseTransport) -> socket.SocketType | None:
    """Return a second way to the transport's descriptor; None where its bytes are encrypted first.

    The class is the small one in C, without the wrapper in Python. Whoever asks must `detach` it
    before the transport closes the descriptor: else it closes that too, whosever it is by then.
    """
    own = transport.get_extra_info("socket")
    if own is None or transport.get_extra_info("sslcontext") is not None:
        return None
    plain = socket.SocketType(own.family, own.type, own.proto, fileno=own.fileno())
    plain.setblocking(False)  # the descriptor is that already: for the object, which may wait
    return plain
