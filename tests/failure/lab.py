"""The failure lab: a cluster, encoders and viewers, and what a scenario may do to them."""

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

from common.cluster.records import ClusterEvent, EventKind, Route
from common.cluster.redis_directory import RedisDirectory
from common.config.model import LeaseSettings
from common.errors import DirectoryUnavailable
from common.ids import StreamKey
from common.local.staged import Staged
from tests.failure.cluster import LabCluster, until_true
from tests.support.lab_child import LabChild, lab_child
from tests.support.processes import descriptors, rss_bytes

STEADY_S: Final = 30.0
"""Whatever was done to it, the cluster must be well again after so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How large the lab is."""

    name: str
    streams: int
    viewers: int
    origins: int = 2
    edges: int = 2
    workers: int = 2


FULL: Final = Profile(name="full", streams=10, viewers=300)
SHORT: Final = Profile(name="short", streams=4, viewers=40)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What a scenario did."""

    at: float  # on the machine's monotonic clock
    streams: frozenset[str]  # whose viewers can notice …
    edge: int | None = None  # … and of which edge, where it is only one
    victims: int = 0  # viewers whose own connection was ended
    zombie: str = ""  # an origin that came back after others had taken its streams …
    zombie_back_at: float = 0.0  # … and when
    problems: tuple[str, ...] = ()  # what was seen on the way that must not be


@dataclass(frozen=True, slots=True)
class Usage:
    """What the processes of the cluster use."""

    rss_bytes: dict[int, int]  # by pid
    descriptors: dict[int, int]


@dataclass(slots=True)
class News:
    """What the encoders told, in order."""

    told: list[dict[str, Any]] = field(default_factory=list)

    def last(self, kind: str, stream: str, after: float = 0.0) -> dict[str, Any] | None:
        """Return the latest news of a kind about a stream."""
        for each in self.told[::-1]:
            if each["news"] == kind and each["stream"] == stream and each["at"] >= after:
                return each
        return None


class Lab(Staged):
    """Runs everything for the length of an ``async with`` block; entering waits until all play."""

    def __init__(
        self,
        profile: Profile,
        settings: tuple[str, ...] = (),
        extra_edges: tuple[tuple[str, ...], ...] = (),
        *,
        origin_settings: tuple[str, ...] = (),
        sentinels: bool = False,
        lossy: bool = False,
    ) -> None:
        super().__init__()
        self.profile = profile
        self.cluster = LabCluster(
            origins=profile.origins,
            edges=profile.edges,
            workers=profile.workers,
            settings=settings,
            origin_settings=origin_settings,
            extra_edges=extra_edges,
            sentinels=sentinels,
            lossy=lossy,
        )
        self.streams = [f"live/s{n}" for n in range(profile.streams)]
        self.news = News()
        self.events: list[tuple[float, ClusterEvent]] = []
        self.publishers: LabChild
        self.viewers: LabChild
        self.directory: RedisDirectory

    async def _start(self, stack: AsyncExitStack) -> None:
        cluster = await stack.enter_async_context(self.cluster)
        # Straight to Redis, past the proxies: the lab shall know what the table says.
        self.directory = RedisDirectory(cluster.redis_settings, LeaseSettings())
        stack.push_async_callback(self.directory.close)
        following = asyncio.ensure_future(self._follow())
        stack.callback(following.cancel)
        origins = [node.info.rtmp for node in cluster.origins.values()]
        homes = {stream: n % len(origins) for n, stream in enumerate(self.streams)}
        self.publishers = await stack.enter_async_context(
            lab_child(
                "tests.support.lab_publishers",
                {"origins": origins, "streams": homes},
                self.news.told.append,
            )
        )
        await until_true(self._all_published, STEADY_S, "not all streams are published")
        edges = [node.info.rtmp for node in cluster.edges.values()]
        self.viewers = await stack.enter_async_context(
            lab_child(
                "tests.support.lab_viewers",
                {
                    "edges": edges[: self.profile.edges],
                    "streams": self.streams,
                    "count": self.profile.viewers,
                },
                lambda news: None,
            )
        )
        await self.steady()

    async def _follow(self) -> None:
        async for event in self.directory.events():
            self.events.append((monotonic(), event))

    async def _all_published(self) -> bool:
        return all(self.news.last("keyframe", stream) for stream in self.streams)

    # What a scenario may ask

    def origin_of(self, stream: str) -> str:
        """Return the origin at which a stream's encoder is, or was last."""
        accepted = self.news.last("accepted", stream)
        assert accepted is not None
        return f"origin-{accepted['origin'] + 1}"

    def streams_at(self, origin: str) -> frozenset[str]:
        """Return the streams that are published at an origin."""
        return frozenset(each for each in self.streams if self.origin_of(each) == origin)

    def busiest_origin(self) -> str:
        """Return the origin at which most encoders are."""
        return max(self.cluster.origins, key=lambda each: len(self.streams_at(each)))

    async def route(self, stream: str) -> Route | None:
        """Return what the table says."""
        return await self.directory.lookup(StreamKey(stream))

    async def slots_of(self, origin: str) -> dict[int, frozenset[str]]:
        """Return the streams of each worker of an origin."""
        base = self.cluster.relay_proxies[origin][0].port
        found: dict[int, set[str]] = {}
        for stream in self.streams_at(origin):
            if route := await self.route(stream):
                slot = int(route.address.rpartition(":")[2]) - base
                found.setdefault(slot, set()).add(stream)
        return {slot: frozenset(streams) for slot, streams in found.items()}

    async def playing(self) -> bool:
        """Say whether every viewer gets media just now."""
        answer = await self.viewers.ask("playing")
        return bool(answer["playing"] == answer["all"] > 0)

    async def steady(self, timeout_s: float = STEADY_S) -> None:
        """Wait until every viewer plays and every stream is in the table; raise TimeoutError."""
        await until_true(self.playing, timeout_s, "not all viewers play")
        await until_true(self.table_complete, timeout_s, "not all streams are in the table")

    async def table_complete(self) -> bool:
        """Say whether the table knows each stream, at the origin where its encoder is."""
        try:
            routes = {route.stream: route for route in await self.directory.routes()}
        except DirectoryUnavailable:
            return False
        return all(
            (route := routes.get(StreamKey(stream))) is not None
            and route.claim.node.startswith(self.origin_of(stream))
            for stream in self.streams
        )

    async def nodes_known(self) -> bool:
        """Say whether the table knows each node that runs."""
        try:
            known = {record.id for record in await self.directory.nodes()}
        except DirectoryUnavailable:
            return False
        return known == {self.cluster.node(name).info.id for name in self.cluster.alive()}

    async def one_publisher_each(self) -> bool:
        """Say whether the origins together have one publisher for each stream."""
        origins = [name for name in self.cluster.alive() if name in self.cluster.origins]
        statuses = [await self.cluster.status(name) for name in origins]
        return sum(int(each["publishers"]) for each in statuses) == len(self.streams)

    def claims_by(self, node: str, after: float) -> list[str]:
        """Return the streams that a node has claimed, or put back, since then."""
        return [
            str(event.stream)
            for at, event in self.events
            if at > after
            and event.kind is EventKind.CLAIMED
            and event.route is not None
            and event.route.claim.node.startswith(node)
        ]

    def usage(self) -> Usage:
        """Measure all processes of the cluster."""
        usage = Usage({}, {})
        for name in self.cluster.alive():
            for pid in self.cluster.pids(name):
                try:
                    usage.rss_bytes[pid] = rss_bytes(pid)
                    usage.descriptors[pid] = descriptors(pid)
                except OSError:
                    continue  # it has ended meanwhile
        return usage

    async def viewers_at(self, edge: int) -> list[dict[str, Any]]:
        """Return what has been seen by those viewers who were at an edge at the mark."""
        report = await self.viewers.ask("report")
        return [viewer for viewer in report["viewers"] if viewer["home"] == edge]

    # What a scenario may do

    async def kill_worker(self, node: str, slot: int) -> float:
        """End one worker as a crash does; return when."""
        pids = await self.cluster.worker_pids(node)
        os.kill(pids[slot], signal.SIGKILL)
        return monotonic()

    async def move(self, stream: str, to: str | None = None, how: str = "leave") -> None:
        """Have an encoder end its session in one way or another and begin the next one."""
        await self.publishers.ask("move", stream=stream, to=_index(to), how=how)

    async def second_publisher(self, stream: str, to: str) -> None:
        """Have a second encoder publish a stream."""
        await self.publishers.ask("second", stream=stream, to=_index(to))


def other(origin: str) -> str:
    """Return the origin that is not this one."""
    return "origin-2" if origin == "origin-1" else "origin-1"


def _index(origin: str | None) -> int | None:
    return int(origin.rpartition("-")[2]) - 1 if origin else None
