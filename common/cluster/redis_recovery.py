"""Finding the servers again after a call has failed."""

import asyncio
from contextlib import suppress

from redis.asyncio import RedisCluster

from common.cluster.redis_connect import AWAY, RedisClient, uvloop_errors


class Recovery:
    """What a failure says of other calls to come: they would go to the same place.

    Runs in the background, since the deadline of the call that failed is over and none of the
    others is to wait for it. Once at a time, and only after a failure.
    """

    def __init__(self, client: RedisClient, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._running: asyncio.Task[None] | None = None
        self._closed = False

    def begin(self) -> None:
        """Take note that a call, or the listener, has failed."""
        if not self._closed and (self._running is None or self._running.done()):
            self._running = asyncio.ensure_future(self._recover())

    async def close(self) -> None:
        """Stop."""
        self._closed = True
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})

    async def _recover(self) -> None:
        with suppress(*AWAY):  # the next failure tries again
            async with asyncio.timeout(self._timeout_s):
                with uvloop_errors():
                    await self._find()

    async def _find(self) -> None:
        if isinstance(self._client, RedisCluster):
            # redis-py asks for the layout only when it is redirected or when a single command
            # fails, and most of ours are pipelines: a primary that has died redirects nobody. Its
            # own remedy, closing the client, would also end what goes on with the living nodes.
            await self._client.nodes_manager.initialize()
        else:
            # Behind one name (and with sentinels) new connections go where the primary is. Old
            # ones stay with one that has become a replica, which refuses every write (READONLY)
            # and closes nothing; and the pool hands out the one that was given back last.
            await self._client.connection_pool.disconnect(inuse_connections=False)
