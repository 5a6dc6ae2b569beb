"""A primary of Redis, its replica and three sentinels, all of them real and ours to kill."""

from contextlib import AsyncExitStack
from typing import Final, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from common.config.model import RedisSettings
from common.local.redis_server import HOST, RedisServer
from common.local.staged import Staged
from tests.support.redis import redis_settings_for
from tests.support.wait import until

MASTER: Final = "mymaster"
SENTINELS: Final = 3
QUORUM: Final = 2
DOWN_AFTER_MS: Final = 1000
FAILOVER_TIMEOUT_MS: Final = 3000

# A primary waits by itself for five seconds, for more replicas to come.
_AT_ONCE: Final = ("--repl-diskless-sync-delay", "0")


class SentinelSetup(Staged):
    """Runs for the length of an ``async with`` block; entering waits until all know each other."""

    def __init__(self) -> None:
        super().__init__()
        self.primary = RedisServer(options=_AT_ONCE)
        follow = ["--replicaof", HOST, str(self.primary.port)]
        self.replica = RedisServer(options=[*_AT_ONCE, *follow])
        self.sentinels = [RedisServer(options=["--sentinel"]) for _ in range(SENTINELS)]

    async def _start(self, stack: AsyncExitStack) -> None:
        await stack.enter_async_context(self.primary)
        await stack.enter_async_context(self.replica)
        await until(self.replicating)
        for sentinel in self.sentinels:
            await stack.enter_async_context(sentinel)
            await _watch(sentinel, self.primary.port)
        for sentinel in self.sentinels:
            await until(lambda sentinel=sentinel: _sees_all(sentinel))

    @property
    def servers(self) -> list[RedisServer]:
        """All processes."""
        return [self.primary, self.replica, *self.sentinels]

    @property
    def addresses(self) -> list[str]:
        """Where the sentinels are, as the settings have it."""
        return [f"{HOST}:{sentinel.port}" for sentinel in self.sentinels]

    def settings(self, **changes: object) -> RedisSettings:
        """Make settings to reach the primary by its sentinels, with a fresh key prefix."""
        return redis_settings_for(
            "redis:///0", mode="sentinel", sentinels=self.addresses, **changes
        )

    async def replicating(self) -> bool:
        """Say whether the replica has everything that the primary has, and goes on to."""
        replication = await _info(self.replica)
        if replication.get("master_link_status") != "up":
            return False
        primary = await _info(self.primary)
        return bool(replication["slave_repl_offset"] == primary["master_repl_offset"])

    async def lose_writes(self) -> None:
        """Let the replica lose what the primary is told from now on, until the primary is killed.

        Replication is asynchronous: what the primary has answered last may be on its way.
        """
        self.replica.pause()
        # Else the rest would wait for the replica in its own socket.
        await _ask(self.primary, "CLIENT", "KILL", "TYPE", "replica")

    async def kill_primary(self) -> None:
        """End the primary as a crash does; the replica goes on, with what it has."""
        await self.primary.kill()
        self.replica.resume()

    async def promoted(self) -> bool:
        """Say whether the replica is the primary now, and all sentinels that live say so."""
        try:
            if (await _info(self.replica))["role"] != "master":
                return False
            ports = [await _known_primary(each) for each in self.sentinels if each.running]
        except RedisError:  # sentinels end all connections to whom they promote
            return False
        return ports == [self.replica.port] * len(ports)

    async def demoted(self) -> bool:
        """Say whether the former primary, back again, follows the new one."""
        try:
            return (await _info(self.primary))["role"] == "slave"
        except RedisError:  # likewise
            return False


async def _watch(sentinel: RedisServer, port: int) -> None:
    await _ask(sentinel, "SENTINEL MONITOR", MASTER, HOST, port, QUORUM)
    for name, value in (
        ("down-after-milliseconds", DOWN_AFTER_MS),
        ("failover-timeout", FAILOVER_TIMEOUT_MS),
    ):
        await _ask(sentinel, "SENTINEL SET", MASTER, name, value)


async def _sees_all(sentinel: RedisServer) -> bool:
    replicas = cast("list[object]", await _ask(sentinel, "SENTINEL REPLICAS", MASTER))
    others = cast("list[object]", await _ask(sentinel, "SENTINEL SENTINELS", MASTER))
    return len(replicas) == 1 and len(others) == SENTINELS - 1


async def _known_primary(sentinel: RedisServer) -> int:
    found = await _ask(sentinel, "SENTINEL GET-MASTER-ADDR-BY-NAME", MASTER)
    return int(cast("list[bytes]", found)[1])


async def _info(server: RedisServer) -> dict[str, object]:
    async with Redis.from_url(server.url) as client:
        return cast("dict[str, object]", await client.info("replication"))


async def _ask(server: RedisServer, *words: str | int) -> object:
    async with Redis.from_url(server.url) as client:
        answer = await client.execute_command(*words)  # type: ignore[no-untyped-call]  # in redis-py
        return cast("object", answer)
