"""The port on which one worker serves relays to other nodes; that for clients is all workers'.

So a relay reaches the very worker that has the stream, meets no rules for clients and balancers,
and is still served by a node that takes no more clients.
"""

import errno

from common.config.address import join_address
from common.config.checks import RELAY_PORT_TRIES
from common.net.server import RtmpServer
from common.supervisor.app import WorkerContext
from common.supervisor.rtmp_port import listen_problem


async def listen_for_relays(server: RtmpServer, context: WorkerContext) -> str:
    """Open the worker's port; return its "host:port" for other nodes.

    After a reload a former worker may hold the port of this slot until it has retired, and
    sharing it would hand one worker's relays to the other. Raises `ConfigError` when none can be
    had.
    """
    return join_address(context.advertise_host, await _listen(server, context))


async def _listen(server: RtmpServer, context: WorkerContext) -> int:
    relay = context.settings.relay
    # Where clients do not come from, other nodes do not either: a node that listens on the loopback
    # interface alone must not open a port to the network.
    host, base = relay.listen_host or context.rtmp_host, relay.port_base
    tries = RELAY_PORT_TRIES if base and context.generation else 1
    ports = [base + context.slot + n * context.workers if base else 0 for n in range(tries)]
    *earlier, last = ports
    for port in earlier:
        try:
            return await server.listen_tcp(host, port, shared=False)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                break
    try:
        return await server.listen_tcp(host, last, shared=False)
    except OSError as error:
        setting = "relay.port_base" if base else "relay.listen_host"
        raise listen_problem(setting, join_address(host, last), error) from error
