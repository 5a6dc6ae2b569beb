"""Listening for announcements over a connection of its own."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from redis.asyncio import RedisCluster
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError

from common.backoff import Backoff
from common.cluster.codec import decode_announcement
from common.cluster.records import ClusterEvent, EventKind
from common.cluster.redis_connect import AWAY, RedisTarget, reason_of, uvloop_errors
from common.cluster.redis_recovery import Recovery
from common.errors import RecordError
from common.logs import get_log

_log = get_log("cluster.announcements")

BACKOFF_MIN_S = 0.1
BACKOFF_MAX_S = 2.0


class RedisEvents:
    """Announcements of one channel, for ever.

    A connection on which nothing is heard for ``quiet_s`` is pinged; one that then stays silent
    for as long again is given up. (Redis sends subscribers nothing by itself, so a dead host and
    a quiet cluster look the same.)
    """

    def __init__(
        self,
        target: RedisTarget,
        channel: str,
        recovery: Recovery,
        *,
        timeout_s: float,
        quiet_s: float,
    ) -> None:
        self._target = target
        self._channel = channel
        self._recovery = recovery
        self._timeout_s = timeout_s
        self._quiet_s = quiet_s
        self._closed = False
        self._moves = 0

    def close(self) -> None:
        """End every `listen` at its next loss of the connection instead of connecting again."""
        self._closed = True

    def reconnect(self) -> None:
        """Connect anew within ``quiet_s``: the server has turned out to be a replica.

        It may hear nothing of its primary, and it answers pings all the same.
        """
        self._moves += 1

    async def listen(self) -> AsyncGenerator[ClusterEvent, None]:
        """Yield announcements, AWAY at each loss of the connection and RESYNC when it is made."""
        # Its randomness spreads over a second or two what all workers of the cluster do when Redis
        # is back: connect, renew, look their streams up.
        backoff = Backoff(BACKOFF_MIN_S, BACKOFF_MAX_S)
        heard = True
        while not self._closed:
            try:
                async with aclosing(self._listen_once()) as events:
                    async for event in events:
                        if event.kind is EventKind.RESYNC:
                            _log.info("listening for announcements", redis=self._target.address)
                            backoff.reset()
                            heard = True
                        yield event
            except AWAY as error:
                self._recovery.begin()
                if heard and not self._closed:  # once per loss, not once per attempt
                    _log.warning(
                        "announcements lost", redis=self._target.address, reason=reason_of(error)
                    )
                    yield ClusterEvent(kind=EventKind.AWAY)
                heard = False
            await asyncio.sleep(backoff.next_s())

    async def _listen_once(self) -> AsyncGenerator[ClusterEvent, None]:
        pubsub = self._target.client.pubsub()
        moves = self._moves
        try:
            async with asyncio.timeout(self._timeout_s):
                with uvloop_errors():
                    await self._find_node()
                    await pubsub.subscribe(self._channel)
                    while not await _confirmed(pubsub, self._timeout_s):
                        pass
            yield ClusterEvent(kind=EventKind.RESYNC)
            while True:
                data = await self._next(pubsub)
                if moves != self._moves:
                    raise RedisConnectionError("the server is a replica now")
                event = None if data is None else _decode(data)
                if event is not None:
                    yield event
        finally:
            await pubsub.aclose()  # type: ignore[no-untyped-call]  # redis-py left it so

    async def _find_node(self) -> None:
        # Subscribing does not make redis-py learn the layout of a cluster. When it has changed
        # since, `Recovery` learns it anew. Any node's subscribers hear everything.
        if isinstance(self._target.client, RedisCluster):
            await self._target.client.initialize()

    async def _next(self, pubsub: PubSub) -> bytes | None:
        # The outer deadline is for a connection that breaks while read: redis-py then makes it
        # anew within the read, for as long as the server likes.
        async with asyncio.timeout(2 * self._quiet_s + self._timeout_s):
            with uvloop_errors():
                message = await pubsub.get_message(timeout=self._quiet_s)
                if message is None:
                    await pubsub.ping()
                    message = await pubsub.get_message(timeout=self._quiet_s)
        if message is None:
            raise RedisConnectionError("silent, even to a ping")
        return message["data"] if message["type"] == "message" else None


async def _confirmed(pubsub: PubSub, timeout_s: float) -> bool:
    message = await pubsub.get_message(timeout=timeout_s)
    return message is not None and message["type"] == "subscribe"


def _decode(data: bytes) -> ClusterEvent | None:
    try:
        return decode_announcement(data)
    except RecordError as error:
        _log.warning("announcement ignored", reason=error)
        return None
