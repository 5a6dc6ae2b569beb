"""A soak: ``python -m tests.failure.soak --minutes 30 [--seed 1]``.

Encoders, viewers and faults come and go at random; after the first minutes nothing may grow: not
memory, descriptors beside those of viewers, or tasks of any process that lives on, nor the keys in
Redis. Nor may a viewer lose its connection except by the worker that was killed under it, or time
go back.
"""

import argparse
import asyncio
import random
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from statistics import mean
from time import monotonic
from typing import Final

import uvloop
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.failure.lab import Lab, Profile, other
from tests.failure.scenario import NOTICE_S

SOAK: Final = Profile(name="soak", streams=6, viewers=90)
SAMPLE_S: Final = 5.0
CALM_S: Final = (1.0, 4.0)
"""Between two faults."""

WARM_UP_SHARE: Final = 0.2
WARM_UP_MAX_S: Final = 300.0

# What a process may have more at the end than at the end of the warm-up: noise, not a trend.
SLACK: Final = {"memory_mib": 8.0, "descriptors": 30.0, "tasks": 20.0, "redis_keys": 6.0}
RELATIVE_SLACK: Final = 0.05


@dataclass(slots=True)
class Series:
    """Figures of one process over time."""

    points: list[tuple[float, float]] = field(default_factory=list)

    def growth(self, since: float) -> float | None:
        """Return how much higher the last third is than the first, of what came after ``since``.

        None where there is too little to tell.
        """
        values = [value for at, value in self.points if at >= since]
        third = len(values) // 3
        if third < 3:
            return None
        return mean(values[-third:]) - mean(values[:third])

    def level(self, since: float) -> float:
        """Return the mean of what came after ``since``."""
        return mean(value for at, value in self.points if at >= since)


class Figures:
    """All series, by what and whose they are."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, str], Series] = defaultdict(Series)

    def add(self, what: str, whose: str, value: float) -> None:
        """Append a figure of now."""
        self._series[what, whose].points.append((monotonic(), value))

    def grown(self, since: float) -> list[str]:
        """Return what has grown since then, in words."""
        said = []
        for (what, whose), series in self._series.items():
            growth = series.growth(since)
            if growth is None:
                continue
            level = series.level(since)
            if growth > SLACK[what] + RELATIVE_SLACK * level:
                said.append(f"{what} of {whose} grew by {growth:.1f} (mean {level:.1f})")
        return said

    def last(self, what: str) -> float:
        """Return the sum of the latest figures of a kind that are not old."""
        recent = monotonic() - 2 * SAMPLE_S
        return sum(
            series.points[-1][1]
            for (kind, _), series in self._series.items()
            if kind == what and series.points[-1][0] >= recent
        )


class Soak:
    """One run."""

    def __init__(self, lab: Lab, seed: int) -> None:
        self._lab = lab
        self._random = random.Random(seed)
        self.figures = Figures()
        self.problems: list[str] = []
        self.disconnected = 0
        self.faults: dict[str, int] = defaultdict(int)
        self._deeds: dict[str, Callable[[], Awaitable[bool]]] = {
            "encoder restarts": self._restart_encoder,
            "encoder drops": self._drop_encoder,
            "origin worker killed": self._kill_origin_worker,
            "origin node killed": self._kill_origin,
            "origin frozen": self._freeze_origin,
            "edge worker killed": self._kill_edge_worker,
            "relays cut": self._cut_relays,
            "relays frozen": self._freeze_relays,
            "redis flushed": self._flush_redis,
            "redis restarted": self._restart_redis,
            "redis parted": self._part_redis,
        }

    async def run(self, seconds: float) -> None:
        """Do one thing after the other for so long."""
        began = monotonic()
        sampling = asyncio.ensure_future(self._sample_for_ever())
        try:
            while monotonic() - began < seconds:
                await self._do_something()
        finally:
            sampling.cancel()
            await asyncio.gather(sampling, return_exceptions=True)
        warm = began + min(WARM_UP_MAX_S, WARM_UP_SHARE * seconds)
        self.problems += self.figures.grown(warm)
        self.problems += [f"logged: {line}" for line in self._lab.cluster.errors[:10]]

    async def _do_something(self) -> None:
        name = self._random.choice(list(self._deeds))
        await self._lab.viewers.ask("mark")
        costs_viewers = await self._deeds[name]()
        self.faults[name] += 1
        await asyncio.sleep(NOTICE_S)
        try:
            await self._lab.steady()
        except TimeoutError as error:
            self.problems.append(f"after {name}: {error}")
        await self._lab.cluster.revive()
        await self._note(name, costs_viewers)
        await self._lab.viewers.ask("churn", count=self._random.randint(1, 20))
        await asyncio.sleep(self._random.uniform(*CALM_S))
        say(
            f"{name}: {self.disconnected} viewers disconnected so far, "
            f"{self.figures.last('memory_mib'):.0f} MiB, "
            f"{self.figures.last('descriptors'):.0f} descriptors, "
            f"{self.figures.last('tasks'):.0f} tasks, "
            f"{self.figures.last('redis_keys'):.0f} keys"
        )

    async def _note(self, name: str, costs_viewers: bool) -> None:
        report = await self._lab.viewers.ask("report")
        for viewer in report["viewers"]:
            if viewer["disconnects"] and not costs_viewers:
                why = ", ".join(viewer["disconnects"])
                self.problems.append(f"{name}: a viewer of {viewer['stream']} lost ({why})")
            if viewer["back_ms"]:
                self.problems.append(f"{name}: time went back by {viewer['back_ms']} ms")
            self.disconnected += bool(viewer["disconnects"])

    async def _sample_for_ever(self) -> None:
        while True:
            await asyncio.sleep(SAMPLE_S)
            await self._sample()

    async def _sample(self) -> None:
        lab = self._lab
        for name in lab.cluster.alive():
            if name in lab.cluster.frozen:
                continue
            try:
                status = await lab.cluster.status(name)
            except OSError:
                continue  # it is being killed just now
            for worker in status["workers"]:
                whose = f"{name}/{worker['pid']}"
                if worker.get("memory_bytes"):
                    self.figures.add("memory_mib", whose, worker["memory_bytes"] / (1 << 20))
                    # Viewers of a killed worker stay with its sibling: that is no leak.
                    beside = worker["open_fds"] - worker["viewers"]
                    self.figures.add("descriptors", whose, beside)
                    self.figures.add("tasks", whose, worker["tasks"])
        try:
            async with Redis.from_url(lab.cluster.redis.url, socket_timeout=1) as client:
                self.figures.add("redis_keys", "redis", await client.dbsize())
        except (RedisError, OSError):
            return  # it is away just now

    # What may happen; each says whether it costs viewers their connection

    def _stream(self) -> str:
        return self._random.choice(self._lab.streams)

    async def _restart_encoder(self) -> bool:
        stream = self._stream()
        here = self._lab.origin_of(stream)
        await self._lab.move(stream, self._random.choice([here, other(here)]))
        return False

    async def _drop_encoder(self) -> bool:
        stream = self._stream()
        how = self._random.choice(["abort", "abandon"])
        await self._lab.move(stream, other(self._lab.origin_of(stream)), how)
        return False

    async def _kill_origin_worker(self) -> bool:
        await self._lab.kill_worker(self._lab.busiest_origin(), self._random.randint(0, 1))
        return False

    async def _kill_origin(self) -> bool:
        await self._lab.cluster.kill("origin-1")  # the other one lives on, to be measured
        return False

    async def _freeze_origin(self) -> bool:
        victim = "origin-1"
        streams = self._lab.streams_at(victim)
        self._lab.cluster.pause(victim)
        for stream in streams:
            await self._lab.move(stream, other(victim), "abandon")
        await asyncio.sleep(2.0)
        self._lab.cluster.resume_all()
        return False

    async def _kill_edge_worker(self) -> bool:
        await self._lab.kill_worker("edge-1", self._random.randint(0, 1))
        return True

    async def _cut_relays(self) -> bool:
        for proxies in self._lab.cluster.relay_proxies.values():
            for proxy in proxies:
                proxy.cut()
        return False

    async def _freeze_relays(self) -> bool:
        for proxies in self._lab.cluster.relay_proxies.values():
            for proxy in proxies:
                proxy.freeze()
        await asyncio.sleep(self._random.uniform(0.5, 5.0))
        return await self._heal()

    async def _flush_redis(self) -> bool:
        async with Redis.from_url(self._lab.cluster.redis.url) as client:
            await client.flushall()
        return False

    async def _restart_redis(self) -> bool:
        await self._lab.cluster.redis.kill()
        await asyncio.sleep(self._random.uniform(0.0, 2.0))
        await self._lab.cluster.redis.start()
        return False

    async def _part_redis(self) -> bool:
        self._random.choice(list(self._lab.cluster.redis_proxies.values())).freeze()
        await asyncio.sleep(self._random.uniform(0.5, 5.0))
        return await self._heal()

    async def _heal(self) -> bool:
        for proxy in self._lab.cluster.proxies:
            await proxy.heal()
        return False


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def soak(minutes: float, seed: int) -> int:
    """Soak for so long; return the exit code."""
    async with Lab(SOAK) as lab:
        run = Soak(lab, seed)
        await run.run(minutes * 60)
    say(", ".join(f"{count} x {name}" for name, count in sorted(run.faults.items())))
    for problem in run.problems[:50]:
        say(f"    {problem}")
    say("soak failed" if run.problems else "nothing has grown")
    return int(bool(run.problems))


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and soak."""
    parser = argparse.ArgumentParser(prog="python -m tests.failure.soak")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(arguments)
    return uvloop.run(soak(asked.minutes, asked.seed))


if __name__ == "__main__":
    sys.exit(main())
