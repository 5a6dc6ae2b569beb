"""What a role (origin, edge) answers when a client asks to publish or to play."""

from dataclasses import dataclass
from typing import Protocol

from common.net.hello import RelayHello
from common.net.link import Link
from common.rtmp.events import PublishRequested
from common.rtmp.message import Message
from common.stream.live import LiveStream
from common.stream.viewer import ViewerKind
from common.streamkey import StreamName


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayOrder:
    """Who wants to play what."""

    name: StreamName
    kind: ViewerKind
    hello: RelayHello | None = None


class Encoder(Protocol):
    """A client that wants to publish, as the role sees it."""

    link: Link
    software: str  # its flashVer

    def stream_name(self, name: str) -> StreamName:
        """Return the stream that the client means; raises StreamNameError."""
        ...


class Publishing(Protocol):
    """One publish session, as the connection sees it."""

    @property
    def stands_by(self) -> bool:
        """Whether it waits for its stream, and nobody is served what it sends."""
        ...

    def media(self, messages: list[Message]) -> None:
        """Take the next media messages, those that one read has brought."""
        ...

    def stop(self, reason: str) -> None:
        """End: the client stopped, or its connection is gone."""
        ...


class Role(Protocol):
    """The part of a node that differs between origin and edge."""

    def publish(self, encoder: Encoder, request: PublishRequested) -> Publishing | None:
        """Begin a publish session; None when it was refused (and answered) at once."""
        ...

    def find(self, order: PlayOrder) -> LiveStream | None:
        """Return the stream if it is here and running: the way without waiting."""
        ...

    async def acquire(self, order: PlayOrder) -> LiveStream:
        """Get hold of the stream, waiting where that makes sense.

        Raises StreamNotFound, RelayError or another HeadwaterError that says why not.
        """
        ...

    def viewer_left(self, stream: LiveStream) -> None:
        """Take note that ``stream`` has lost a viewer."""
        ...
