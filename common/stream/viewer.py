"""One viewer as the fan-out sees it: a sink for bytes, a state and a few counters.

A viewer has no queue of messages of its own: what it has not taken yet lies in its transport, as
references to blocks that all viewers share.
"""

from collections.abc import Iterable
from contextlib import suppress
from enum import StrEnum
from typing import Protocol


class ViewerKind(StrEnum):
    """Who watches."""

    PLAYER = "player"
    RELAY = "relay"  # another node of the cluster
    SIBLING = "sibling"  # another worker of this node


class Outlet(Protocol):
    """A shorter way to a sink's peer than the sink: its socket, which buffers nothing."""

    def send(self, data: bytes, /) -> int:
        """Hand over what the kernel takes at once of ``data``; return how many bytes that is.

        Raises OSError where it takes nothing: it is full (BlockingIOError), broken or closed.
        """
        ...


class Sink(Protocol):
    """What a viewer is written to: an asyncio transport, as far as the fan-out needs one.

    Its write buffer limits must be 0, so that it reports congestion as soon as one byte is left
    unsent and the fast path need not ask.
    """

    def write(self, data: bytes | memoryview, /) -> None:
        """Send or buffer ``data``; never blocks."""
        ...

    def get_write_buffer_size(self) -> int:
        """Return the bytes that are buffered and not with the kernel yet."""
        ...


class Seat(Protocol):
    """Where a viewer takes its stream: an output."""

    def leave(self, viewer: "Viewer") -> None:
        """Forget ``viewer``; harmless when it is not here."""
        ...

    def viewer_congested(self, viewer: "Viewer") -> None:
        """Take note that ``viewer`` has unsent bytes."""
        ...

    def viewer_drained(self, viewer: "Viewer") -> None:
        """Take note that it has none any more."""
        ...


class ViewerOwner(Protocol):
    """Whoever made the viewer (a session) and is told about it."""

    def viewer_started(self, viewer: "Viewer") -> None:
        """Take note that the viewer has been handed its first picture."""
        ...

    def viewer_kicked(self, viewer: "Viewer", reason: str) -> None:
        """End the viewer's connection: it is hopelessly behind."""
        ...

    def viewer_ended(self, viewer: "Viewer", reason: str) -> None:
        """Tell the viewer that its stream is over, and close."""
        ...


class Viewer:
    """A viewer and where it stands."""

    __slots__ = (
        "_socket",
        "began_at",
        "beyond_flushes",
        "congested",
        "header_version",
        "kind",
        "lagging_since",
        "outlet",
        "owner",
        "seat",
        "sink",
        "started",
    )

    def __init__(
        self,
        sink: Sink,
        kind: ViewerKind,
        owner: ViewerOwner,
        *,
        socket: Outlet | None = None,  # the sink's, if it has one that may be written to
        congested: bool = False,
    ) -> None:
        self.sink = sink
        self.kind = kind
        self.owner = owner
        self._socket = socket
        self.outlet = None if congested else socket
        """Takes bytes past the sink; None while that holds unsent ones, which must go first."""
        self.seat: Seat | None = None
        self.congested = congested
        self.started = False
        self.lagging_since: float | None = None  # skipped, waits for its buffer and a keyframe
        self.began_at = 0.0
        self.beyond_flushes = 0  # bytes that it was given when it began, beside the flushes
        self.header_version = -1  # of the headers that it has

    @property
    def unsent_bytes(self) -> int:
        """What the sink has not handed to the kernel."""
        try:
            return self.sink.get_write_buffer_size()
        except RuntimeError:  # uvloop: closed, and its connection_lost comes later
            return 0

    def write(self, data: bytes | memoryview) -> None:
        """Write ``data``; a sink that is closed already takes no notice."""
        with suppress(RuntimeError):  # as above
            self.sink.write(data)

    def write_rest(self, block: bytes, sent: int) -> None:
        """Write what the outlet has not taken of ``block``, which stays the one that all share."""
        self.write(memoryview(block)[sent:] if sent else block)

    def take(self, block: bytes) -> None:
        """Write ``block`` by the shortest way there is at the moment."""
        if self.outlet is None:
            self.write(block)
            return
        try:
            sent = self.outlet.send(block)
        except OSError:  # full; or broken, which the sink finds out by the same error
            sent = 0
        if sent != len(block):
            self.write_rest(block, sent)

    def writing_paused(self) -> None:
        """Take note that the sink holds unsent bytes (asyncio's ``pause_writing``)."""
        self.congested = True
        self.outlet = None
        if self.seat is not None:
            self.seat.viewer_congested(self)

    def writing_resumed(self) -> None:
        """Take note that all is sent (asyncio's ``resume_writing``)."""
        self.congested = False
        self.outlet = self._socket
        if self.seat is not None:
            self.seat.viewer_drained(self)


class Audience:
    """Viewers that take the same blocks, and the outlet of each beside them, or None.

    The outlets are a list of their own because a flush looks at nothing else of a viewer: with a
    thousand of them whatever it looks at is cold memory.
    """

    __slots__ = ("outlets", "viewers")

    def __init__(self, viewers: Iterable[Viewer]) -> None:
        self.viewers = list(viewers)
        self.outlets = [viewer.outlet for viewer in self.viewers]
