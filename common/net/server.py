"""The RTMP server of a worker: its listeners."""

import asyncio
import socket
from pathlib import Path
from typing import Final

from common.logs import get_log
from common.metrics import CONNECTIONS_REFUSED
from common.net.connection import REFUSALS, RtmpConnection
from common.net.services import Services

KEEPALIVE_PROBES: Final = 4
"""Without an answer to so many the connection is over: after twice the idle time altogether."""

_log = get_log("rtmp")


class RtmpServer:
    """Accepts connections until told to stop."""

    def __init__(self, services: Services, backlog: int) -> None:
        CONNECTIONS_REFUSED.begin(REFUSALS)
        self._services = services
        self._backlog = backlog
        self._shared: list[asyncio.AbstractServer] = []
        self._own: list[asyncio.AbstractServer] = []

    async def listen_tcp(self, host: str, port: int, *, shared: bool) -> int:
        """Accept connections on ``host:port``; return the port (for 0: the one that was free).

        ``shared`` ports are for clients: all workers of the node listen on them (SO_REUSEPORT), and
        the kernel spreads the connections. The others are for relays. Raises OSError.
        """
        sock = _listening_socket(host, port, shared)
        _bound_kernel_backlog(sock, self._services.unsent_bytes)
        _keep_alive(sock, self._services.keepalive_s)
        door = self._services.door if shared else None
        server = await self._services.loop.create_server(
            lambda: RtmpConnection(self._services, door=door), sock=sock, backlog=self._backlog
        )
        (self._shared if shared else self._own).append(server)
        return int(sock.getsockname()[1])

    async def listen_siblings(self, path: Path) -> None:
        """Accept the other workers of this node on a Unix socket."""
        path.unlink(missing_ok=True)  # noqa: ASYNC240 # one unlink, before anything is served
        server = await self._services.loop.create_unix_server(
            lambda: RtmpConnection(self._services, sibling=True), str(path), backlog=self._backlog
        )
        self._own.append(server)

    def leave_shared_ports(self) -> None:
        """Take no new clients; relays and siblings still find this worker on ports of its own.

        Whoever is connected stays; so does one whose connection was accepted in this very moment.
        """
        if self._shared:
            _log.info("takes no new clients", clients=len(self._services.registry))
        for server in self._shared:
            server.close()
        self._shared.clear()

    async def stop(self) -> None:
        """Close everything at once."""
        self.leave_shared_ports()
        for server in self._own:
            server.close()
        self._services.registry.close()
        self._services.registry.abort_all("shutdown")
        self._services.deadlines.close()


def _listening_socket(host: str, port: int, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6 and host == "::":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.setblocking(False)
        sock.bind((host, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _bound_kernel_backlog(sock: socket.socket, unsent_bytes: int) -> None:
    """Keep what a slow peer has not taken in our blocks, which are shared, not in the kernel's.

    It also makes lag visible: megabytes of socket buffer would hide many seconds of it. Accepted
    sockets inherit the option from the one that listens.
    """
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)  # Linux and macOS
    if option is not None:
        sock.setsockopt(socket.IPPROTO_TCP, option, unsent_bytes)


def _keep_alive(sock: socket.socket, idle_s: int) -> None:
    """Have the kernel probe connections that are quiet for so long; 0: never.

    A player that only receives is quiet for a balancer as soon as its stream stops, and those
    forget quiet connections (an NLB after 350 s) without a word. Accepted sockets inherit it.
    """
    if not idle_s:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", idle_s),
        ("TCP_KEEPALIVE", idle_s),  # its name on macOS
        ("TCP_KEEPINTVL", max(idle_s // KEEPALIVE_PROBES, 1)),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES),
    ):
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
