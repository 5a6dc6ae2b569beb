"""The admin port: health, metrics and status over HTTP, in the supervisor's own event loop.

Its answers come from that loop, so /livez answers only while the loop turns. It is not meant for
the open internet, yet holds when it gets there: GET and HEAD only, one request per connection,
few connections, each cut off after a few seconds whether it sends slowly, reads slowly or idles,
and sooner when others come.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from typing import Final, cast

from aiohttp import web

from common import metrics as metric_definitions
from common.admin.health import NodeHealth
from common.logs import get_log

CONNECTION_S: Final = 15.0  # Prometheus gives a scrape 10 s
MAX_CONNECTIONS: Final = 64
MAX_LINE_BYTES: Final = 2048
MAX_HEADERS: Final = 32
STOP_S: Final = 1.0

_TEXT: Final = "text/plain; charset=utf-8"
_JSON: Final = "application/json"
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Server": "headwater",
    "X-Content-Type-Options": "nosniff",
}

# aiohttp logs a traceback for every malformed request; on an open port that is a flood.
_muted = logging.getLogger("common.admin.http")
_muted.disabled = True

_log = get_log("admin")


class AdminServer:
    """Serves /livez, /readyz, /startupz, /healthz, /metrics and /status.

    The callables are asked for each request, in the event loop: they must not block for long.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        health: Callable[[], NodeHealth],
        metrics: Callable[[], bytes],
        status: Callable[[], Mapping[str, object]],
    ) -> None:
        self._host = host
        self._port = port
        self._health = health
        self._metrics = metrics
        self._status = status
        self._routes: dict[str, Callable[[], web.Response]] = {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/startupz": self._startupz,
            "/healthz": self._healthz,
            "/metrics": self._metrics_page,
            "/status": self._status_page,
        }
        self._listener: asyncio.Server | None = None
        self._http: web.Server | None = None

    async def start(self) -> int:
        """Listen, and return the port: the one that was free when 0 was asked for.

        Raises OSError when the address cannot be had.
        """
        self._http = web.Server(
            self._answer,
            access_log=None,
            logger=_muted,
            keepalive_timeout=CONNECTION_S,
            lingering_time=0,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
            max_headers=MAX_HEADERS,
        )
        loop = asyncio.get_running_loop()
        # "::" takes IPv4 as well, as at the RTMP port; asyncio would keep it to IPv6.
        host = None if self._host in ("", "::") else self._host
        self._listener = await loop.create_server(
            self._accept, host, self._port, backlog=MAX_CONNECTIONS
        )
        return cast("int", self._listener.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close the listener and all connections; without effect when not started."""
        if self._listener is None or self._http is None:
            return
        self._listener.close()
        for connection in self._http.connections:
            _cut_off(connection)
        await self._http.shutdown(STOP_S)
        await self._listener.wait_closed()
        self._listener = None

    def _accept(self) -> asyncio.BaseProtocol:
        assert self._http is not None
        # The oldest come first. An honest request is over in a moment, so these dawdle; who comes
        # now may be the kubelet, and would have the node restarted for no answer.
        connections = self._http.connections
        for each in connections[: max(len(connections) + 1 - MAX_CONNECTIONS, 0)]:
            _cut_off(each)
        connection = self._http()
        asyncio.get_running_loop().call_later(CONNECTION_S, _cut_off, connection)
        return connection

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        response = self._response_to(request)
        response.headers.update(_HEADERS)
        response.force_close()
        return response

    def _response_to(self, request: web.BaseRequest) -> web.Response:
        if request.method not in ("GET", "HEAD"):
            return _text("only GET and HEAD", 405, {"Allow": "GET, HEAD"})
        page = self._routes.get(request.path)
        if page is None:
            return _text("not found", 404)
        try:
            return page()
        except Exception as error:  # whatever a figure's bug raises, the port goes on
            _log.limited("page").exception("admin page failed", error, path=request.path)
            return _text("internal error", 500)

    @staticmethod
    def _livez() -> web.Response:
        return _text("live")

    def _readyz(self) -> web.Response:
        reason = self._health().not_ready_reason
        return _text(f"not ready: {reason}", 503) if reason else _text("ready")

    def _startupz(self) -> web.Response:
        health = self._health()
        if health.started:
            return _text("started")
        return _text(f"starting: {health.ready_workers} of {health.workers} workers ready", 503)

    def _healthz(self) -> web.Response:
        return _json(self._health().as_dict())

    def _metrics_page(self) -> web.Response:
        headers = {"Content-Type": metric_definitions.CONTENT_TYPE}
        return web.Response(body=self._metrics(), headers=headers)

    def _status_page(self) -> web.Response:
        return _json(self._status())


def _cut_off(connection: web.RequestHandler) -> None:
    # Abort, not close: a peer that does not read would keep a closing socket for ever.
    if connection.transport is not None:
        connection.transport.abort()


def _text(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    all_headers = {"Content-Type": _TEXT, **(headers or {})}
    return web.Response(body=f"{text}\n".encode(), status=status, headers=all_headers)


def _json(value: Mapping[str, object]) -> web.Response:
    body = json.dumps(value, indent=2, default=str).encode() + b"\n"
    return web.Response(body=body, headers={"Content-Type": _JSON})
