"""What the connection cores tell their shells. `Message` is an event too: media as it came.

The server core (`server.py`) emits the requests; the shell answers with the ``accept_*`` and
``reject_*`` methods named in each docstring, now or later. The client core (`client.py`) emits
the outcomes.
"""

from dataclasses import dataclass, field
from typing import Any, TypeVar

from common.rtmp.message import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectRequested:
    """A client's `connect`. Answer with ``accept_connect`` or ``reject_connect``.

    ``app`` and ``tc_url`` are as sent (query strings included, quotes stripped); ``properties``
    is the whole command object; ``caps_ex`` is the E-RTMP capability mask (0 when absent).
    """

    app: str
    tc_url: str
    flash_ver: str
    caps_ex: int
    properties: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishRequested:
    """A client wants to publish. Answer with ``accept_publish`` or ``reject_publish``.

    ``name`` is as sent, query string included. Media that comes before the answer is dropped
    and counted.
    """

    stream_id: int
    name: str
    publish_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishStopped:
    """The client ended its publish (FCUnpublish, deleteStream, closeStream, publish(false)).

    The connection stays usable. Not emitted for a lost connection: `Closed` says that.
    """

    stream_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayRequested:
    """A client wants to play. Answer with ``accept_play`` or ``reject_play``."""

    stream_id: int
    name: str
    start: float
    reset: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayStopped:
    """The client stopped playing (deleteStream, closeStream, play(false), a new play)."""

    stream_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseChanged:
    """The client paused or resumed; the core has already answered it.

    On resume the shell sends headers and goes on at a keyframe.
    """

    stream_id: int
    paused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackChanged:
    """receiveAudio / receiveVideo: what the client wants from now on (None: unchanged)."""

    stream_id: int
    audio: bool | None = None
    video: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """Client core: the server accepted `connect`; ``properties`` and ``info`` are its answer."""

    properties: dict[str, Any]
    info: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayStarted:
    """Client core: the server accepted our `play`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishStarted:
    """Client core: the server accepted our `publish`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Client core: the server answered with an error; the connection closes."""

    code: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEnded:
    """Client core: the server says the stream is over (UnpublishNotify, Play.Stop, EOF)."""

    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconnectRequested:
    """Client core: E-RTMP ReconnectRequest; ``tc_url`` is where to go, None: the same server."""

    tc_url: str | None
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong:
    """The peer answered a ping of ours after ``rtt_s`` seconds."""

    rtt_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """The connection is over. Always the last event, exactly once.

    ``reason`` is a short stable word for metrics ("eof", "handshake_timeout", "not_rtmp_tls",
    "command_flood", …), ``detail`` a sentence for the log. What is still in ``data_to_send`` is
    to be written before the socket is closed.
    """

    reason: str
    detail: str = ""


ServerEvent = (
    ConnectRequested
    | PublishRequested
    | PublishStopped
    | PlayRequested
    | PlayStopped
    | PauseChanged
    | TrackChanged
    | Message
    | Closed
)
ClientEvent = (
    Connected
    | PlayStarted
    | PublishStarted
    | Refused
    | StreamEnded
    | ReconnectRequested
    | Pong
    | Message
    | Closed
)

Event = TypeVar("Event")


def media_together(events: list[Event]) -> list[Event | list[Message]]:
    """Return ``events`` in order, with media that comes in a row as one list.

    So shells do once a read what they would do for each message.
    """
    together: list[Event | list[Message]] = []
    media: list[Message] = []
    for event in events:
        if isinstance(event, Message):
            if not media:
                together.append(media)
            media.append(event)
        else:
            together.append(event)
            media = []
    return together
