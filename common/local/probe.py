"""Does a cluster carry a stream? A second of made-up video, published to it and played from it.

Publisher and player are in this process, so one clock measures the way between them, and nothing
but Headwater is needed: no encoder, no decoder. Frames carry their number and when they were sent.
"""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Final

from common.errors import HeadwaterError
from common.local.client import RtmpClient, open_client
from common.local.player import open_player
from common.rtmp.client import ClientConnection, Mode
from common.rtmp.events import ClientEvent, Closed, PublishStarted
from common.rtmp.message import Message, MessageType

FRAME_MS: Final = 40
GOP_FRAMES: Final = 12  # about half a second: whoever joins waits at most that long

_TAG: Final = struct.Struct(">4sId")  # mark, number, when sent
_MARK: Final = b"HWpr"
_FLV_BYTES: Final = 5  # frame type and codec, packet type, composition time [FLV E.4.3]
_FILLING: Final = bytes(2000)
# A sequence header of AVC with an SPS and a PPS that nobody decodes [ISO 14496-15, 5.2.4.1].
_HEADER: Final = (
    b"\x17\x00\x00\x00\x00\x01\x64\x00\x1f\xff\xe1\x00\x04\x67\x64\x00\x1f\x01\x00\x01\x68"
)


class ProbeFailed(HeadwaterError):
    """The cluster did not carry the stream; the message says how far it came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """What the player saw; times in seconds."""

    frames: int
    first_picture_s: float  # from the accepted connection to the first keyframe
    delay_p50_s: float
    delay_max_s: float

    def __str__(self) -> str:
        return (
            f"{self.frames} frames published and played: first picture after "
            f"{1000 * self.first_picture_s:.0f} ms, delay {1000 * self.delay_p50_s:.1f} ms "
            f"(p50), {1000 * self.delay_max_s:.1f} ms (max)"
        )


async def probe(
    publish_url: str, play_url: str, *, seconds: float, timeout_s: float
) -> ProbeResult:
    """Publish to one URL, play the other for ``seconds`` of video, and compare.

    Raises `ProbeFailed` when a frame is missing, out of order or late beyond ``timeout_s``, or when
    one of the two is refused; other HeadwaterErrors when nobody listens or a URL is none.
    """
    wanted = max(1, round(seconds * 1000 / FRAME_MS))
    seen = _Seen()
    try:
        async with asyncio.timeout(timeout_s), _publishing(publish_url):
            player = await open_player(play_url, seen.take)
            try:
                while len(seen.delays) < wanted:
                    if player.closed.done():
                        raise ProbeFailed(f"{play_url}: {_why(player.closed.result())}")
                    await asyncio.sleep(FRAME_MS / 1000)
            finally:
                player.close()
    except TimeoutError:
        raise ProbeFailed(
            f"{play_url}: {len(seen.delays)} of {wanted} frames came in {timeout_s:g} s"
        ) from None
    if seen.problem:
        raise ProbeFailed(f"{play_url}: {seen.problem}")
    delays = sorted(seen.delays)
    return ProbeResult(
        frames=len(delays),
        first_picture_s=player.first_keyframe_s or 0.0,
        delay_p50_s=delays[len(delays) // 2],
        delay_max_s=delays[-1],
    )


class _Seen:
    """What came, and the first thing that was wrong with it."""

    def __init__(self) -> None:
        self.delays: list[float] = []
        self.problem = ""
        self._next: int | None = None

    def take(self, message: Message, now: float) -> None:
        """Look at a message that the player got."""
        tag = message.payload[_FLV_BYTES : _FLV_BYTES + _TAG.size]
        if message.type_id != MessageType.VIDEO or not tag.startswith(_MARK):
            return  # headers, metadata
        _, number, sent_at = _TAG.unpack(tag)
        if self._next is None and number % GOP_FRAMES:
            self._note(f"it began at frame {number}, which is no keyframe")
        elif self._next is not None and number != self._next:
            self._note(f"frame {number} came where {self._next} was due")
        self._next = number + 1
        self.delays.append(now - sent_at)

    def _note(self, problem: str) -> None:
        self.problem = self.problem or problem


class _Publisher(RtmpClient):
    """Publishes, once it may, for as long as it is open."""

    def __init__(self, core: ClientConnection) -> None:
        super().__init__(core)
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def _note(self, event: ClientEvent, now: float) -> None:
        if self.started.done():
            return
        if isinstance(event, PublishStarted):
            self.started.set_result(None)
        elif isinstance(event, Closed):
            self.started.set_exception(ProbeFailed(_why(event)))

    def send(self, number: int) -> None:
        """Send one frame, before the first one the header."""
        if number == 0:
            self._core.send_media(MessageType.VIDEO, 0, _HEADER)
        frame_type = b"\x17" if number % GOP_FRAMES == 0 else b"\x27"
        tag = _TAG.pack(_MARK, number, monotonic())
        payload = frame_type + b"\x01\x00\x00\x00" + tag + _FILLING
        self._core.send_media(MessageType.VIDEO, number * FRAME_MS, payload)
        self._flush()


@asynccontextmanager
async def _publishing(url: str) -> AsyncIterator[None]:
    publisher = await open_client(url, Mode.PUBLISH, _Publisher)
    try:
        try:
            await publisher.started
        except ProbeFailed as error:
            raise ProbeFailed(f"{url}: {error}") from None
        sending = asyncio.create_task(_send(publisher))
        try:
            yield
        finally:
            sending.cancel()
    finally:
        publisher.close()


async def _send(publisher: _Publisher) -> None:
    began = monotonic()
    number = 0
    while not publisher.closed.done():
        publisher.send(number)
        number += 1
        await asyncio.sleep(max(0.0, began + number * FRAME_MS / 1000 - monotonic()))


def _why(closed: Closed) -> str:
    return f"closed: {closed.detail or closed.reason}"
