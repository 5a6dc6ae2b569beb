"""A player in this process: takes a stream over RTMP and looks at it without decoding."""

from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from common.errors import MediaError
from common.local.client import RtmpClient, open_client
from common.media.flv import classify
from common.media.packet import Role
from common.rtmp.client import ClientConnection, Mode
from common.rtmp.events import ClientEvent, Connected
from common.rtmp.message import Message, MessageType

OnMessage = Callable[[Message, float], None]
"""Is given each audio, video and data message, and when it came."""


class RtmpPlayer(RtmpClient):
    """A client that plays, and measures how soon it gets a picture."""

    def __init__(self, core: ClientConnection, on_message: OnMessage) -> None:
        super().__init__(core)
        self._on_message = on_message
        self.joined_at = monotonic()
        """When the server accepted the connection; `play` follows one round trip later."""
        self.first_keyframe_s: float | None = None
        """From there to the first keyframe."""

    def _note(self, event: ClientEvent, now: float) -> None:
        if isinstance(event, Connected):
            self.joined_at = now

    def _take(self, message: Message, now: float) -> None:
        if self.first_keyframe_s is None and _is_keyframe(message):
            self.first_keyframe_s = now - self.joined_at
        self._on_message(message, now)


async def open_player(
    url: str, on_message: OnMessage, properties: Mapping[str, Any] | None = None
) -> RtmpPlayer:
    """Connect to ``url`` and play it; see `open_client`."""
    return await open_client(url, Mode.PLAY, lambda core: RtmpPlayer(core, on_message), properties)


def _is_keyframe(message: Message) -> bool:
    if message.type_id != MessageType.VIDEO:
        return False
    try:
        return classify(message.type_id, message.payload).role is Role.KEYFRAME
    except MediaError:
        return False  # it is the decoder's to complain
