"""The routing table in Redis.

The rights that an ACL user needs for it: the keys ``~<prefix>:*``, the channel
``&<prefix>:events``, and +eval +evalsha +get +set +del +hget +hset +hmget +pexpire +time +scan
+publish +subscribe +ping (+cluster|slots +command in a cluster, +select off database 0).
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeVar, cast

from redis.exceptions import ReadOnlyError, ResponseError

from common.cluster.codec import (
    announcement,
    decode_claim,
    decode_load,
    decode_node,
    encode_claim,
    encode_load,
    encode_node,
    open_announcement,
)
from common.cluster.keys import Keys
from common.cluster.records import (
    Claim,
    ClusterEvent,
    EventKind,
    NodeLoad,
    NodeRecord,
    Renewal,
    Route,
)
from common.cluster.redis_connect import AWAY, connect, reason_of, uvloop_errors
from common.cluster.redis_events import RedisEvents
from common.cluster.redis_recovery import Recovery
from common.cluster.redis_scripts import Argument, Call, Script, pipeline
from common.config.model import LeaseSettings, PublisherPolicy, RedisSettings
from common.errors import DirectoryUnavailable, RecordError, StreamTaken
from common.ids import NodeId, StreamKey
from common.logs import get_log

_log = get_log("cluster.directory")

_T = TypeVar("_T")

# Longer than a lease by this: what bridges a clock of Redis that goes back (see claim.lua).
_EPOCH_MEMORY_S = 86_400.0

_SCAN_BATCH = 1000

_CLAIM = Script("claim.lua")
_RENEW = Script("renew.lua")
_RELEASE = Script("release.lua")
_PUT_NODE = Script("put_node.lua")


class RedisDirectory:
    """A `Directory` in Redis; see `common.cluster.keys` for what is kept there.

    Made without touching the network, so a node starts while Redis is away. Every call is over
    within ``settings.timeout_s``. Belongs to the event loop in which it is first used.
    """

    def __init__(self, settings: RedisSettings, lease: LeaseSettings) -> None:
        self._timeout_s = settings.timeout_s
        self._ttl_ms = max(1, round(lease.ttl_s * 1000))
        self._epoch_ttl_ms = self._ttl_ms + round(_EPOCH_MEMORY_S * 1000)
        self._keys = Keys(settings.key_prefix)
        self._target = connect(settings)
        self._client = self._target.client
        # A burst of calls waits here for its turn; redis-py's pools would refuse it instead.
        self._turns = asyncio.Semaphore(settings.max_connections)
        self._recovery = Recovery(self._client, self._timeout_s)
        self._events = RedisEvents(
            self._target,
            self._keys.events,
            self._recovery,
            timeout_s=self._timeout_s,
            quiet_s=self._timeout_s,
        )

    def __repr__(self) -> str:
        return f"RedisDirectory({self._target.address})"

    async def claim(
        self, claim: Claim, policy: PublisherPolicy, *, over: int = 0, age_s: float = 0.0
    ) -> Route:
        """Take a stream, as `Directory.claim` says."""
        call = self._lease_call(claim, policy.value, over, int(age_s * 1000))
        async with self._deadline():
            epoch, holder = cast("tuple[int, bytes]", await _CLAIM.run(self._client, call))
        if not epoch:
            raise StreamTaken(claim.stream, holder.decode(errors="replace"))
        return Route(claim=claim, epoch=epoch)

    async def renew(self, routes: Sequence[Route]) -> list[Renewal | None]:
        """Prolong leases, as `Directory.renew` says."""
        if not routes:
            return []
        calls = [self._lease_call(route.claim, route.epoch) for route in routes]
        async with self._deadline():
            answers = await _RENEW.run_many(self._client, calls)
            errors = [answer for answer in answers if isinstance(answer, Exception)]
            if len(errors) == len(answers):
                raise errors[0]
        if errors:
            self._recovery.begin()
            _log.warning("leases not renewed", number=len(errors), reason=reason_of(errors[0]))
        return [_renewal(answer) for answer in answers]

    async def release(self, route: Route) -> bool:
        """Give a stream up, as `Directory.release` says."""
        arguments: list[Argument] = [
            route.claim.owner,
            route.epoch,
            self._epoch_ttl_ms,
            self._keys.events,
            open_announcement(EventKind.RELEASED, stream=route.stream),
        ]
        call = Call(keys=self._stream_keys(route.stream), arguments=arguments)
        async with self._deadline():
            return bool(await _RELEASE.run(self._client, call))

    async def lookup(self, stream: StreamKey) -> Route | None:
        """Return who holds a stream now; a record that cannot be read counts as none."""
        key = self._keys.route(stream)
        async with self._deadline():
            found = await self._read([key], ("HMGET", "epoch", "claim"), _route)
        return found[0] if found else None

    async def routes(self) -> list[Route]:
        """Return all routes, by stream."""
        command = ("HMGET", "epoch", "claim")
        routes = await self._read_all(self._keys.all_routes, command, _route)
        return sorted(routes, key=lambda route: route.stream)

    async def put_node(self, record: NodeRecord, load: NodeLoad) -> None:
        """Write a node's record and load, as `Directory.put_node` says."""
        arguments: list[Argument] = [
            record.state.value,
            encode_node(record),
            encode_load(load),
            self._ttl_ms,
            self._keys.events,
            announcement(EventKind.DRAINING, node=record.id),
        ]
        call = Call(keys=self._node_keys(record.id), arguments=arguments)
        async with self._deadline():
            await _PUT_NODE.run(self._client, call)

    async def remove_node(self, node: NodeId) -> None:
        """Forget a node."""
        async with self._deadline():
            await self._client.delete(*self._node_keys(node))

    async def nodes(self) -> list[NodeRecord]:
        """Return all nodes that are alive, by id."""
        nodes = await self._read_all(self._keys.all_nodes, ("HGET", "record"), _node)
        return sorted(nodes, key=lambda node: node.id)

    async def loads(self) -> list[NodeLoad]:
        """Return what each node does for each stream, by node."""
        loads = await self._read_all(self._keys.all_loads, ("GET",), _load)
        return sorted(loads, key=lambda load: load.node)

    async def kick(self, stream: StreamKey) -> None:
        """Announce that a stream's publisher is to be disconnected."""
        async with self._deadline():
            await self._client.publish(
                self._keys.events, announcement(EventKind.KICK, stream=stream)
            )

    async def suspect(self, stream: StreamKey, epoch: int) -> None:
        """Announce that the holder of a stream cannot be reached."""
        said = announcement(EventKind.SUSPECT, stream=stream, epoch=epoch)
        async with self._deadline():
            await self._client.publish(self._keys.events, said)

    def events(self) -> AsyncGenerator[ClusterEvent, None]:
        """Yield announcements, as `Directory.events` says."""
        return self._events.listen()

    async def close(self) -> None:
        """Close all connections; `events` end."""
        self._events.close()
        await self._recovery.close()
        with suppress(*AWAY):
            async with asyncio.timeout(self._timeout_s):
                await self._client.aclose()

    @asynccontextmanager
    async def _deadline(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout_s), self._turns:
                with uvloop_errors():
                    yield
        except AWAY as error:
            self._recovery.begin()
            if isinstance(error, ReadOnlyError):
                self._events.reconnect()
            raise DirectoryUnavailable(f"{self._target.address}: {reason_of(error)}") from error

    def _lease_call(self, claim: Claim, *conditions: str | int) -> Call:
        # The scripts claim and renew differ in their last arguments only: what must hold for them
        # to write.
        announced = open_announcement(EventKind.CLAIMED, claim=claim)
        arguments: list[Argument] = [
            claim.owner,
            claim.node,
            encode_claim(claim),
            self._ttl_ms,
            self._epoch_ttl_ms,
            self._keys.events,
            announced,
            *conditions,
        ]
        return Call(keys=self._stream_keys(claim.stream), arguments=arguments)

    def _stream_keys(self, stream: StreamKey) -> list[str]:
        return [self._keys.route(stream), self._keys.epoch(stream)]

    def _node_keys(self, node: NodeId) -> list[str]:
        return [self._keys.node(node), self._keys.load(node)]

    async def _read_all(
        self, pattern: str, command: Sequence[str], decode: Callable[[object], _T]
    ) -> list[_T]:
        async with self._deadline():
            scan = self._client.scan_iter(match=pattern, count=_SCAN_BATCH)
            keys = {key async for key in scan}  # SCAN may name a key twice
            return await self._read(list(keys), command, decode)

    async def _read(
        self, keys: Sequence[str | bytes], command: Sequence[str], decode: Callable[[object], _T]
    ) -> list[_T]:
        """Read and decode what is there; what cannot be read is logged and left out."""
        verb, *fields = command
        answers = await pipeline(self._client, [[verb, key, *fields] for key in keys])
        found = []
        for key, answer in zip(keys, answers, strict=True):
            try:
                if _is_there(answer):
                    found.append(decode(answer))
            except RecordError as error:
                name = key if isinstance(key, str) else key.decode(errors="replace")
                _log.warning("record ignored", key=name, reason=error)
        return found


def _renewal(answer: object) -> Renewal | None:
    return Renewal(answer.decode()) if isinstance(answer, bytes) else None


def _is_there(answer: object) -> bool:
    if isinstance(answer, ResponseError) and str(answer).startswith("WRONGTYPE"):
        raise RecordError("not of the type that we write")
    if isinstance(answer, Exception):
        raise answer
    values = answer if isinstance(answer, list) else [answer]
    return any(value is not None for value in values)


def _route(stored: object) -> Route:
    match stored:
        case [bytes() as epoch, bytes() as claim] if epoch.isdigit() and len(epoch) < 20:
            return Route(claim=decode_claim(claim), epoch=int(epoch))
        case _:
            raise RecordError("a route without an epoch or a claim")


def _node(stored: object) -> NodeRecord:
    return decode_node(cast("bytes", stored))


def _load(stored: object) -> NodeLoad:
    return decode_load(cast("bytes", stored))
