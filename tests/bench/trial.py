"""One trial: a server, its publishers and players, and what it cost while all played."""

import asyncio
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Final

from common.supervisor.fdlimit import raise_fd_limit

from .cores import apart
from .load import Load, Met
from .metrics import Metrics
from .players.fleet import Fleet
from .proc import ProcessFigures, machine_busy_s, read_cpu_s, read_processes
from .publishers.fleet import Published, Publishing
from .servers.base import Running, Server

Say = Callable[[str], None]

_TICK_S: Final = 1.0
_SAMPLE_RATE: Final = 50.0
_KIB: Final = 1024
_OTHER_FILES: Final = 100  # that a process of players has open besides


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the judged processes of a server used while all played. CPU in per cent of a core."""

    seconds: float
    cpu: float  # user and system
    user: float
    others: float  # the rest of that server: supervisors, the other role, its Redis not
    machine: float  # everything on this machine
    rss_bytes: int  # at the end
    rss_grown_bytes: int  # while all played
    rss_per_player_kib: float | None  # against the time when the sample alone played
    descriptors: int
    voluntary_switches_s: float
    involuntary_switches_s: float
    cpu_by_second: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flushes:
    """How Headwater wrote."""

    interval_ms: float
    cost_ms: float
    skipped: float  # to a keyframe, since the server's start
    kicked: float  # for being too slow, likewise

    @classmethod
    def between(cls, before: Metrics, after: Metrics) -> "Flushes":
        """Return the means between two scrapes."""

        def grown(name: str) -> float:
            return after.value(name) - before.value(name)

        def mean_ms(name: str) -> float:
            return 1000 * grown(f"{name}_sum") / (grown(f"{name}_count") or 1)

        return cls(
            interval_ms=mean_ms("headwater_flush_interval_seconds"),
            cost_ms=mean_ms("headwater_flush_duration_seconds"),
            skipped=after.value("headwater_skipped_gops_total"),
            kicked=after.value("headwater_disconnects_total", reason="too_slow"),
        )

    @property
    def writes_per_s(self) -> float:
        """Writes to each player."""
        return 1000 / self.interval_ms if self.interval_ms else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of it. ``problems`` are incorrect, whatever the figures say."""

    server: str
    load: Load
    usage: Usage | None  # None: nobody said which processes
    met: Met
    joined: Met
    published: Published | None
    flushes: Flushes | None
    writes_per_s: float  # to each player; reads of it where nobody knows
    problems: list[str]
    own_cores: bool = False  # whether the judged processes had some


async def run_trial(server: Server, load: Load, clip: Path, say: Say) -> Trial:
    """Start ``server``, put ``load`` on it, measure. Raises `HeadwaterError`."""
    async with AsyncExitStack() as stack:
        say("starts")
        running = await stack.enter_async_context(server.running())
        judged = running.pids if load.own_cores and running.is_ours else ()
        own_cores = stack.enter_context(apart(judged, running.others))
        publishing = None
        if server.rtmp:
            publishing = Publishing(running.publish_url, clip, load.streams)
            await stack.enter_async_context(publishing)
        course = _Course(server, running, load, clip, publishing, say)
        return replace(await course.run(stack), own_cores=own_cores)


class _Course:
    """The course of one trial."""

    def __init__(
        self,
        server: Server,
        running: Running,
        load: Load,
        clip: Path,
        publishing: Publishing | None,
        say: Say,
    ) -> None:
        self._server = server
        self._running = running
        self._load = load
        self._publishing = publishing
        self._say = say
        self._playing = 0
        self._common = {"url": running.play_url, "streams": load.streams, "rtmp": server.rtmp}
        self._looks = {"parse": server.rtmp, "clip": str(clip) if server.rtmp else None}

    async def run(self, stack: AsyncExitStack) -> Trial:
        load, running = self._load, self._running
        fleet = await stack.enter_async_context(Fleet(self._on_playing))
        # The sample first: with the streams there, the rest of the memory is the players'.
        await self._join(fleet, 1, load.sample, max(load.sample / 2, _SAMPLE_RATE), **self._looks)
        await asyncio.sleep(load.quiet_s)
        with_sample = read_processes(running.pids)
        await self._join(fleet, _processes(load.players), load.players, load.rate)
        if load.stalled:
            stalling = {"stalled": load.stalled, "stall_s": load.stall_s}
            await self._join(fleet, 1, 0, load.rate, **self._looks, **stalling)
        await asyncio.sleep(load.settle_s)
        scraped = await self._scrape()
        fleet.measure()
        if self._publishing is not None:
            self._publishing.measure()
        usage, joined = await self._watch(stack, with_sample)
        met = await fleet.finish()
        flushes = None
        if scraped is not None and (after := await self._scrape_late()) is not None:
            flushes = Flushes.between(scraped, after)
        published = await self._publishing.finish() if self._publishing is not None else None
        return Trial(
            server=self._server.name,
            load=load,
            usage=usage if running.pids else None,
            met=met,
            joined=joined,
            published=published,
            flushes=flushes,
            writes_per_s=self._writes_per_s(flushes) or met.reads_per_player_s,
            problems=[*met.problems(), *joined.problems(), *running.errors],
        )

    async def _watch(self, stack: AsyncExitStack, with_sample: ProcessFigures) -> tuple[Usage, Met]:
        """Take the server's figures for the time, while those join who join only now."""
        load, running = self._load, self._running
        began = monotonic()
        first, others_s = read_processes(running.pids), read_cpu_s(running.others)
        busy = machine_busy_s()
        joining = None
        if load.joiners:
            joining = asyncio.create_task(self._let_join(stack))
        last_s, by_second = first.cpu_s, []
        while (left := began + load.seconds - monotonic()) > 0:
            tick = min(left, _TICK_S)
            await asyncio.sleep(tick)
            now_s = read_cpu_s(running.pids)
            by_second.append((now_s - last_s) / tick * 100)
            last_s = now_s
            self._say(f"{self._playing:,} play, {by_second[-1]:.0f} % CPU")
        joined = await joining if joining is not None else Met()
        seconds = monotonic() - began
        last, per_s = read_processes(running.pids), 1 / seconds
        used = 100 * per_s
        grown = first.rss_bytes - with_sample.rss_bytes
        return Usage(
            seconds=seconds,
            cpu=(last.cpu_s - first.cpu_s) * used,
            user=(last.user_s - first.user_s) * used,
            others=(read_cpu_s(running.others) - others_s) * used,
            machine=(machine_busy_s() - busy) * used,
            rss_bytes=last.rss_bytes,
            rss_grown_bytes=last.rss_bytes - first.rss_bytes,
            rss_per_player_kib=grown / load.players / _KIB if load.players else None,
            descriptors=last.descriptors,
            voluntary_switches_s=(last.voluntary_switches - first.voluntary_switches) * per_s,
            involuntary_switches_s=(last.involuntary_switches - first.involuntary_switches) * per_s,
            cpu_by_second=by_second,
        ), joined

    async def _let_join(self, stack: AsyncExitStack) -> Met:
        fleet = await stack.enter_async_context(Fleet())
        joiners = self._load.joiners
        await self._join(fleet, _processes(joiners), joiners, self._load.join_rate)
        fleet.measure()
        await asyncio.sleep(_TICK_S)
        return await fleet.finish()

    async def _join(
        self, fleet: Fleet, processes: int, count: int, rate: float, **options: object
    ) -> None:
        options = {**self._common, **options}
        if count or options.get("stalled"):
            await fleet.join(processes, count, rate, **options)

    async def _scrape(self) -> Metrics | None:
        return await self._running.metrics() if self._running.metrics is not None else None

    async def _scrape_late(self) -> Metrics | None:
        """Scrape when the players have left: workers tell their figures once a second."""
        if self._running.metrics is not None:
            await asyncio.sleep(_TICK_S)
        return await self._scrape()

    def _writes_per_s(self, flushes: Flushes | None) -> float:
        return flushes.writes_per_s if flushes else self._running.writes_per_s

    def _on_playing(self, count: int) -> None:
        self._playing = count
        self._say(f"{count:,} play")


def _processes(players: int) -> int:
    """Return how many processes so many players need: one for each core, or what files allow."""
    most = raise_fd_limit() - _OTHER_FILES
    return max(os.cpu_count() or 1, 2, -(-players // most))
