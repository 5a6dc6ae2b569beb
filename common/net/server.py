"""The RTMP server of a worker: its listeners, its connections, and the limits over all of them."""

import asyncio
import resource
import socket
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

from common.config.model import Settings
from common.ids import NodeId
from common.logs import get_log
from common.net.connection import RtmpConnection
from common.net.deadlines import Deadlines
from common.net.roles import Role
from common.net.session import Session

RESERVED_FDS: Final = 256
"""Descriptors kept for listeners, relays, Redis, the supervisor's channel and files."""

_log = get_log("rtmp")


@dataclass(slots=True)
class ServerTotals:
    """What a worker has received since its start, as plain integers."""

    bytes_in: int = 0


class RtmpServer:
    """Accepts connections and keeps them."""

    def __init__(
        self, settings: Settings, role: Role, node: NodeId, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.role = role
        self.node = node
        self.loop = loop
        self.limits = settings.rtmp.limits()
        self.chunk_size = settings.rtmp.chunk_size
        self.unsent_bytes = settings.fanout.unsent_bytes
        # What a viewer may have unsent: a start from the cache, and the lag that is allowed.
        self.viewer_bytes = settings.gop.max_bytes + 2 * settings.fanout.lag_limit_bytes
        self.vhosts: Collection[str] = frozenset(settings.vhosts)
        self.deadlines = Deadlines(loop)
        self.totals = ServerTotals()
        self.now = monotonic  # uvloop's own clock stands still within one turn of the loop
        self.connections: set[RtmpConnection] = set()
        self._max_connections = _affordable_connections(settings.rtmp.max_connections)
        self._backlog = settings.rtmp.backlog
        self._servers: list[asyncio.AbstractServer] = []
        self._sessions = 0
        self._draining = False
        self._empty = asyncio.Event()
        self._empty.set()

    async def listen_tcp(self, host: str, port: int, *, shared: bool) -> int:
        """Accept connections on ``host:port``; return the port (for 0: the one that was free).

        ``shared`` ports are listened on by all workers of the node (SO_REUSEPORT), the kernel
        spreads the connections. Raises OSError.
        """
        sock = _listening_socket(host, port, shared)
        server = await self.loop.create_server(
            lambda: RtmpConnection(self), sock=sock, backlog=self._backlog
        )
        self._servers.append(server)
        return int(sock.getsockname()[1])

    async def listen_siblings(self, path: Path) -> None:
        """Accept the other workers of this node on a Unix socket."""
        path.unlink(missing_ok=True)  # noqa: ASYNC240 # one unlink, before anything is served
        server = await self.loop.create_unix_server(
            lambda: RtmpConnection(self, sibling=True), str(path), backlog=self._backlog
        )
        self._servers.append(server)

    def next_session_id(self) -> int:
        """Return a number that no other session of this worker has."""
        self._sessions += 1
        return self._sessions

    def session_for(self, connection: RtmpConnection, sibling: bool) -> Session:
        """Return a new session for ``connection``."""
        return Session(connection, self, sibling)

    def admit(self, connection: RtmpConnection) -> str:
        """Take ``connection`` in; return why not, "" when it is in."""
        if self._draining:
            return "draining"
        if len(self.connections) >= self._max_connections:
            return "too_many_connections"
        self.connections.add(connection)
        self._empty.clear()
        return ""

    def forget(self, connection: RtmpConnection) -> None:
        """Take note that ``connection`` is gone."""
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()

    async def drain(self, timeout_s: float) -> None:
        """Stop listening; return when the last connection has gone, at most after the time."""
        self._draining = True
        for server in self._servers:
            server.close()
        try:
            await asyncio.wait_for(self._empty.wait(), timeout_s)
        except TimeoutError:
            return

    async def stop(self) -> None:
        """Close everything at once."""
        self._draining = True
        for server in self._servers:
            server.close()
        for connection in list(self.connections):
            connection.abort("shutdown")
        self.deadlines.close()


def _affordable_connections(wanted: int) -> int:
    """Return how many connections the file descriptors allow, of the number wanted."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or wanted <= soft - RESERVED_FDS:
        return wanted
    affordable = max(soft - RESERVED_FDS, 1)
    _log.warning(
        "fewer connections than configured: the file descriptor limit is lower",
        max_connections=affordable,
        configured=wanted,
        fd_limit=soft,
    )
    return affordable


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
    except OSError:
        sock.close()
        raise
    return sock
