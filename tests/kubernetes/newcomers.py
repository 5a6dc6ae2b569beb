"""Clients that come while everything is replaced: each must be served at once, by whomever."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from common.errors import HeadwaterError
from common.local.player import open_player
from common.rtmp.message import Message
from tests.support.publisher import open_publisher

_EVERY_S: Final = 0.5
_PATIENCE_S: Final = 5.0


@dataclass
class Newcomers:
    """What became of them."""

    waits_s: list[float] = field(default_factory=list)
    """Of players, from the beginning of the connection to the first message."""
    published: int = 0
    problems: list[str] = field(default_factory=list)


@asynccontextmanager
async def coming(ingest: str, play: str, stream: str) -> AsyncIterator[Newcomers]:
    """Have a player and an encoder come to the Services twice a second, and leave."""
    newcomers = Newcomers()

    async def come() -> None:
        for number in range(10**9):
            await _play(f"rtmp://{play}/{stream}", newcomers)
            await _publish(f"rtmp://{ingest}/live/newcomer-{number}", newcomers)
            await asyncio.sleep(_EVERY_S)

    task = asyncio.create_task(come())
    try:
        yield newcomers
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _play(url: str, newcomers: Newcomers) -> None:
    came = asyncio.Event()

    def take(message: Message, now: float) -> None:
        came.set()

    began = monotonic()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            player = await open_player(url, take)
            try:
                await came.wait()
                newcomers.waits_s.append(monotonic() - began)
            finally:
                player.close()
    except (HeadwaterError, TimeoutError) as error:
        newcomers.problems.append(f"player: {error or 'nothing came'}")


async def _publish(url: str, newcomers: Newcomers) -> None:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            publisher = await open_publisher(url)
            publisher.close()
    except (HeadwaterError, TimeoutError) as error:
        newcomers.problems.append(f"encoder: {error or 'no answer'}")
        return
    if publisher.started.result():
        newcomers.published += 1
    else:
        newcomers.problems.append(f"encoder: {publisher.events[-1]}")
