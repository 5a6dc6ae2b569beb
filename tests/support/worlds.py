"""Routing tables whose time and contents a test commands: in memory, and in a real Redis."""

from typing import Protocol

from redis.asyncio import Redis, RedisCluster

from common.clock import ManualClock
from common.cluster.directory import Directory
from common.cluster.memory import MemoryDirectory
from common.cluster.redis_directory import RedisDirectory
from common.config.model import LeaseSettings
from tests.support.redis import redis_settings_for

# So long that the real time a test takes does not matter; time passes by `World.advance`, in
# steps of which no sum comes near to the lease.
LEASE = LeaseSettings(ttl_s=10_000, renew_s=3_000)


class World(Protocol):
    """A table whose time the test commands."""

    directory: Directory

    async def start(self) -> None:
        """Connect."""
        ...

    async def advance(self, seconds: int, highest_epoch: int) -> None:
        """Let time pass: leases run out."""
        ...

    async def flush(self, highest_epoch: int) -> None:
        """Forget everything; the table's clock is past ``highest_epoch`` after it."""
        ...

    async def close(self) -> None:
        """Disconnect."""
        ...


class MemoryWorld:
    """A table in memory."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.directory = MemoryDirectory(self.clock, lease=LEASE)

    async def start(self) -> None:
        """Connect: there is nothing to do."""

    async def advance(self, seconds: int, highest_epoch: int) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    async def flush(self, highest_epoch: int) -> None:
        """Forget everything."""
        self.directory.table.flush()
        self.clock.advance(0.1)

    async def close(self) -> None:
        """Disconnect."""
        await self.directory.close()


class RedisWorld:
    """A table in Redis, under a key prefix of its own."""

    def __init__(self, url: str, mode: str = "single") -> None:
        # What it does is the question, not how soon: a busy machine may hold a server up.
        self.settings = redis_settings_for(url, mode=mode, timeout_s=10.0)
        self.url = url
        self.prefix = self.settings.key_prefix

    async def start(self) -> None:
        """Connect."""
        client = Redis if self.settings.mode == "single" else RedisCluster
        self.raw = client.from_url(self.url)
        self.directory = RedisDirectory(self.settings, LEASE)

    async def advance(self, seconds: int, highest_epoch: int) -> None:
        """Let time pass."""
        # Takes the time from what each key has left. Epochs are remembered for a day longer than
        # a lease: for the purpose of the model, for ever.
        for kind in ("route", "node", "load"):
            async for key in self.raw.scan_iter(match=f"{self.prefix}:{kind}:*"):
                left_ms = await self.raw.pttl(key) - seconds * 1000
                await (self.raw.pexpire(key, left_ms) if left_ms > 0 else self.raw.delete(key))

    async def flush(self, highest_epoch: int) -> None:
        """Forget everything."""
        async for key in self.raw.scan_iter(match=f"{self.prefix}:*"):
            await self.raw.delete(key)
        # A stream that changes hands several times in one millisecond is ahead of the clock.
        while await self._now_ms() <= highest_epoch:
            pass

    async def _now_ms(self) -> int:
        # Of one node: the clocks of a cluster on one machine are the same.
        seconds, micros = await self.raw.execute_command("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    async def close(self) -> None:
        """Disconnect."""
        await self.directory.close()
        await self.raw.aclose()
