"""Viewers as people have them: they watch, and when their edge leaves they come back."""

import asyncio
import itertools
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Final

from common.errors import HeadwaterError
from common.local.client import open_client
from common.local.player import RtmpPlayer
from common.rtmp.client import Mode
from common.rtmp.message import Message
from tests.kubernetes.network import ON_THE_MACHINE
from tests.kubernetes.pods import Pod, Pods
from tests.support.wait import until

_RETRY_S: Final = 0.1
Ends = tuple[str, int, str, int]
# Players that no reconnect request moves: the harder case.
CANNOT: Final = {"capsEx": 0.0}


class _Player(RtmpPlayer):
    @property
    def ends(self) -> Ends:
        """Both ends of its connection, as it sees them."""
        assert self._transport is not None
        (here, port), (there, to_port) = (
            self._transport.get_extra_info(name)[:2] for name in ("sockname", "peername")
        )
        return here, port, there, to_port


@dataclass
class Stay:
    """A viewer's time at one edge; times are monotonic."""

    pod: Pod | None = None
    messages: int = 0
    first_at: float | None = None
    last_at: float | None = None
    ended_at: float | None = None
    longest_gap_s: float = 0.0
    went_back: bool = False
    _stream_time: int = 0

    def take(self, message: Message, now: float) -> None:
        """Note a message."""
        if self.last_at is None:
            self.first_at = now
        else:
            self.longest_gap_s = max(self.longest_gap_s, now - self.last_at)
            self.went_back = self.went_back or message.timestamp < self._stream_time
        self.last_at, self._stream_time = now, message.timestamp
        self.messages += 1


class Viewer:
    """Watches one stream for ever, at first from one pod, then from where the Service leads it."""

    def __init__(self, pods: Pods, first: str, service: str, stream: str) -> None:
        self.stays: list[Stay] = []
        self.refused: list[str] = []
        self._pods = pods
        self._urls = (f"rtmp://{first}/{stream}", f"rtmp://{service}/{stream}")
        self.task = asyncio.ensure_future(self._run())

    @property
    def moves_s(self) -> list[float]:
        """How long it saw nothing between two edges, for each move."""
        return [
            after.first_at - before.last_at
            for before, after in itertools.pairwise(self.stays)
            if after.first_at is not None and before.last_at is not None
        ]

    async def until_more(self, count: int = 20) -> None:
        """Wait for more messages."""

        def seen() -> int:
            return sum(stay.messages for stay in self.stays)

        wanted = seen() + count
        await until(lambda: seen() >= wanted or self.task.done(), 30)
        assert not self.task.done(), self.task

    async def _run(self) -> None:
        while True:
            stay = Stay()
            try:
                player = await self._open(stay)
            except HeadwaterError as error:
                self.refused.append(str(error))
                await asyncio.sleep(_RETRY_S)
                continue
            self.stays.append(stay)
            try:
                stay.pod = self._pods.at(await asyncio.to_thread(address_behind, player.ends))
                await asyncio.shield(player.closed)
                stay.ended_at = monotonic()
            finally:
                player.close()

    async def _open(self, stay: Stay) -> "_Player":
        url = self._urls[bool(self.stays)]
        return await open_client(url, Mode.PLAY, lambda core: _Player(core, stay.take), CANNOT)


def address_behind(ends: Ends) -> str:
    """Return the address of the pod that a connection leads to, through a Service or not."""
    here, port, there, to_port = ends
    listed = subprocess.run(
        [
            *ON_THE_MACHINE,
            *("conntrack", "-L", "-p", "tcp", "--orig-src", here, "--orig-port-src", str(port)),
            *("--orig-dst", there, "--orig-port-dst", str(to_port)),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = listed.stdout.splitlines()
    _, answers_from = [word for word in line.split() if word.startswith("src=")]
    return answers_from.partition("=")[2]


@asynccontextmanager
async def viewing(pods: Pods, first: str, service: str, stream: str) -> AsyncIterator[Viewer]:
    """Watch for the length of the block."""
    viewer = Viewer(pods, first, service, stream)
    try:
        await viewer.until_more(5)
        yield viewer
    finally:
        viewer.task.cancel()
        await asyncio.wait({viewer.task})
