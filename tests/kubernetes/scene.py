"""Encoders, viewers and newcomers, all of whom come by the release's Services."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from common.local import ffmpeg
from common.local.ffmpeg import FfmpegProcess, find_ffmpeg
from tests.kubernetes.newcomers import Newcomers, coming
from tests.kubernetes.pods import Pods
from tests.kubernetes.viewers import Viewer, viewing
from tests.support.encoder import Encoder, encoding
from tests.support.wait import until

STREAMS: Final = {"live/one": False, "live/two": False, "live/three": True}
"""Those that are published, and whether their encoder follows reconnect requests."""
PICTURE: Final = "live/picture"
_EACH: Final = 3  # viewers of each stream at each edge; all in one Python


@dataclass
class Services:
    """Where clients go."""

    ingest: str
    play: str


@dataclass
class Scene:
    """All of them."""

    newcomers: Newcomers
    encoders: list[Encoder] = field(default_factory=list)
    viewers: list[Viewer] = field(default_factory=list)


@asynccontextmanager
async def played(pods: Pods, services: Services) -> AsyncIterator[Scene]:
    """Have them for the length of the block."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        encoders = [
            await enter(encoding([services.ingest], stream, announces=announces))
            for stream, announces in STREAMS.items()
        ]
        viewers = [
            await enter(viewing(pods, f"{edge.address}:1935", services.play, stream))
            for edge in pods.of("edge")
            for stream in STREAMS
            for _ in range(_EACH)
        ]
        newcomers = await enter(coming(services.ingest, services.play, "live/one"))
        yield Scene(newcomers, encoders, viewers)


@asynccontextmanager
async def picture_played(play: str) -> AsyncIterator[FfmpegProcess]:
    """Play and decode it once with ffmpeg."""
    player = FfmpegProcess(find_ffmpeg(), ffmpeg.decode(f"rtmp://{play}/{PICTURE}"))
    await player.start()
    try:
        await until(lambda: player.frames > 0 or player.exit_code is not None, 60)
        assert player.exit_code is None, player.explain()
        yield player
    finally:
        await player.stop()
