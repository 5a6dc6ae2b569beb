"""Asking an origin worker whether it serves a stream: the second opinion on a suspicion.

An open port proves nothing: the kernel takes connections for a process that is stopped, and a
worker that was replaced may have its predecessor's port. So the stream is played, until the answer.
"""

import asyncio
import os
from time import monotonic

from common.cluster.records import Route
from common.errors import RelayError
from common.ids import NodeId
from common.net.hello import RelayHello
from common.relay.upstream import CHUNK_SIZE, UpstreamAddress
from common.rtmp.client import ClientConnection, Mode
from common.rtmp.events import Closed, PlayStarted, Refused, StreamEnded
from common.rtmp.limits import RtmpLimits
from common.streamkey import to_request

READ_BYTES = 65_536


async def serves(route: Route, node: NodeId, limits: RtmpLimits, timeout_s: float) -> bool:
    """Return whether the worker in ``route`` plays its stream to ``node`` within ``timeout_s``."""
    try:
        async with asyncio.timeout(timeout_s):
            return await _play(route, node, limits)
    except (OSError, TimeoutError, RelayError, UnicodeError):  # the last: no host name at all
        return False


async def _play(route: Route, node: NodeId, limits: RtmpLimits) -> bool:
    address = UpstreamAddress.parse(route.address)
    app, name = to_request(route.stream)
    core = ClientConnection(
        limits,
        mode=Mode.PLAY,
        tc_url=f"rtmp://{address}/{app}",
        app=app,
        stream_name=name,
        now=monotonic(),
        chunk_size=CHUNK_SIZE,
        random_bytes=os.urandom,
        connect_properties=RelayHello(node=node).to_properties(),
    )
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        core.start()
        while True:
            writer.write(core.data_to_send())
            data = await reader.read(READ_BYTES)
            if not data:
                return False
            core.receive_data(data, monotonic())
            for event in core.events():
                if isinstance(event, PlayStarted):
                    return True
                if isinstance(event, Refused | StreamEnded | Closed):
                    return False
    finally:
        writer.transport.abort()
