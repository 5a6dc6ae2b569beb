"""The port on which one worker serves relays to other nodes; that for clients is all workers'.

So a relay reaches the very worker that has the stream, meets no rules for clients and balancers,
and is still served by a node that takes no more clients.
"""

import errno
from typing import Final

from common.config.model import RelaySettings
from common.net.server import RtmpServer

RELAY_PORT_TRIES: Final = 4
"""For generations that live at the same time; a fifth one finds no port and fails to start."""


async def listen_for_relays(
    server: RtmpServer, settings: RelaySettings, *, slot: int, workers: int, generation: int
) -> int:
    """Open the port of the worker in ``slot`` and return it; raise OSError when it cannot be had.

    After a reload a former worker may hold the port of this slot until it has retired, and
    sharing it would hand one worker's relays to the other.
    """
    base = settings.port_base
    tries = RELAY_PORT_TRIES if base and generation else 1
    *earlier, last = [base + slot + n * workers if base else 0 for n in range(tries)]
    for port in earlier:
        try:
            return await server.listen_tcp(settings.listen_host, port, shared=False)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    return await server.listen_tcp(settings.listen_host, last, shared=False)
