"""Reserving the port that all workers of a node listen on."""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from common.config.address import split_address
from common.errors import ConfigError


@contextmanager
def reserve_port(listen: str) -> Iterator[tuple[str, int]]:
    """Hold a TCP port for the workers; yield host and port, the port never 0.

    Each worker opens its own listening socket on it with SO_REUSEPORT, and the kernel spreads the
    connections. Our socket is bound and never listens, so it is given none of them; it keeps the
    port ours while workers come and go, and lets port 0 mean the same port for all.

    Raises:
        ConfigError: the address cannot be had; says why.
    """
    try:
        host, port = split_address(listen)
        held = _reserve(host or "0.0.0.0", port)
    except (OSError, ValueError) as error:
        raise listen_problem("rtmp.listen", listen, error) from error
    with held:
        yield held.getsockname()[:2]


def listen_problem(setting: str, address: str, error: OSError | ValueError) -> ConfigError:
    """Return the error to raise when ``address``, the value of ``setting``, cannot be had."""
    return ConfigError([f"{setting}: cannot listen on {address}: {_reason(error)}"])


def _reserve(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    if port:
        _check_free(family, address)
    held = socket.socket(family, socket.SOCK_STREAM)
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(address)
    except OSError:
        held.close()
        raise
    return held


def _check_free(family: int, address: tuple[object, ...]) -> None:
    # With SO_REUSEPORT alone, a second node of the same user would be let in, and the kernel
    # would hand half of the publishers of one to the other. Without it, it is refused.
    # SO_REUSEADDR tells ports in use from those with connections that have just been closed.
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return "another process uses this port"
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return str(error)
