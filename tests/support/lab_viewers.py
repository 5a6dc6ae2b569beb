"""The viewers of the failure lab, in one process: ``python -m tests.support.lab_viewers JSON``.

Every message that every viewer gets is checked as it comes. A viewer that is disconnected is
counted and connects again at once, to the same edge, and to the next one when nobody listens
there. Every second viewer of a stream has announced that it can be asked to reconnect; when it is,
it leaves and goes to the next edge.

Options: ``edges`` (host:port of each), ``streams`` (names), ``count``. Commands: `mark` begins a
new period of measuring, `report` tells what has been seen in it; see `_Crowd`.
"""

import asyncio
import json
import sys
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

import uvloop

from common.errors import HeadwaterError
from common.local.client import RtmpClient, open_client
from common.rtmp.client import ClientConnection, Mode
from common.rtmp.events import ClientEvent, ReconnectRequested
from common.rtmp.message import Message, MessageType
from tests.support.lab_child import commands, tell
from tests.support.lab_media import Tag, header_variant, is_keyframe, read_tag

RETRY_S: Final = 0.1
PER_S: Final = 150
"""New viewers per second at the start."""

_CAN_RECONNECT: Final = 1
"""E-RTMP v2, connect, capsEx: the client takes a ReconnectRequest."""


@dataclass(slots=True)
class Seen:
    """What one viewer has seen since the mark."""

    disconnects: list[str] = field(default_factory=list)
    disconnected_at: list[float] = field(default_factory=list)
    moved_at: list[float] = field(default_factory=list)
    """When it went elsewhere because it was asked to."""
    messages: int = 0
    gap_s: float = 0.0  # the longest pause between two messages …
    gap_began_at: float = 0.0  # … and when it began
    keyframes: list[tuple[int, float, float]] = field(default_factory=list)
    """Session, when sent, when here."""
    lost: int = 0  # within a session
    repeated: int = 0  # or out of order, within a session
    back_ms: int = 0  # the longest step back of a track's time
    stale: int = 0  # of a session that is older than one seen already
    wrong_headers: int = 0  # keyframes behind another variant's codec header


class Checker:
    """Looks at one viewer's messages."""

    def __init__(self) -> None:
        self.seen = Seen()
        self.last_at = 0.0
        self._session = 0
        self._sequence = -1
        self._variant = 0
        self._times: dict[int, int] = {}

    def reset(self, now: float) -> None:
        """Begin to count anew; where the stream stands is kept."""
        self.seen = Seen()
        if self.last_at:
            self.last_at = max(self.last_at, now)

    def reconnected(self) -> None:
        """Expect nothing of what comes next: a new connection starts where it starts."""
        self._session, self._sequence = 0, -1
        self._times.clear()

    def take(self, message: Message, now: float) -> Tag | None:
        """Check a message; return what it says of itself, None for headers and metadata."""
        payload, type_id = message.payload, message.type_id
        tag = read_tag(type_id, payload)
        if tag is None:
            if type_id == MessageType.VIDEO and (variant := header_variant(payload)) is not None:
                self._variant = variant
            return None
        seen = self.seen
        seen.messages += 1
        if self.last_at and now - self.last_at > seen.gap_s:
            seen.gap_s, seen.gap_began_at = now - self.last_at, self.last_at
        self.last_at = now
        last = self._times.get(type_id, 0)
        if message.timestamp < last:
            seen.back_ms = max(seen.back_ms, last - message.timestamp)
        self._times[type_id] = message.timestamp
        if tag.session == self._session:
            step = tag.sequence - self._sequence
            if step == 1:
                self._sequence = tag.sequence
            elif step > 1:
                seen.lost += step - 1
                self._sequence = tag.sequence
            else:
                seen.repeated += 1
        elif tag.session > self._session:
            self._session, self._sequence = tag.session, tag.sequence
        else:
            seen.stale += 1
        if is_keyframe(type_id, payload):
            seen.keyframes.append((tag.session, tag.sent_at, now))
            seen.wrong_headers += tag.variant != self._variant
        return tag

    def report(self, now: float) -> dict[str, Any]:
        """Return what was seen, a pause that has not ended included."""
        seen = self.seen
        open_s = now - self.last_at if self.last_at else 0.0
        gap_s, began_at = max((seen.gap_s, seen.gap_began_at), (open_s, self.last_at))
        return {
            "disconnects": seen.disconnects,
            "disconnected_at": seen.disconnected_at,
            "moved_at": seen.moved_at,
            "messages": seen.messages,
            "gap_ms": gap_s * 1000,
            "gap_began_at": began_at,
            "keyframes": seen.keyframes,
            "lost": seen.lost,
            "repeated": seen.repeated,
            "back_ms": seen.back_ms,
            "stale": seen.stale,
            "wrong_headers": seen.wrong_headers,
        }


class Deliveries:
    """Which publish sessions reach anybody, by edge: two at once would be two owners."""

    def __init__(self) -> None:
        self._sessions: dict[tuple[str, int, int], list[float]] = {}

    def note(self, stream: str, edge: int, tag: Tag, now: float) -> None:
        """Take note of a picture that has reached a viewer."""
        key = (stream, edge, tag.session)
        sent_at = tag.sent_at
        found = self._sessions.get(key)
        if found is None:
            self._sessions[key] = [now, sent_at]
        elif sent_at > found[1]:
            found[1] = sent_at

    def forget(self) -> None:
        """Begin anew."""
        self._sessions.clear()

    def report(self) -> list[dict[str, Any]]:
        """Return when each session first reached a viewer, and when its latest one was sent."""
        return [
            {
                "stream": stream,
                "edge": edge,
                "session": session,
                "first_at": at,
                "last_sent_at": last,
            }
            for (stream, edge, session), (at, last) in self._sessions.items()
        ]


class _Player(RtmpClient):
    """One connection of a viewer."""

    def __init__(self, core: ClientConnection, viewer: "_Viewer") -> None:
        super().__init__(core)
        self._viewer = viewer
        self.asked_to_go: asyncio.Event = asyncio.Event()

    def _take(self, message: Message, now: float) -> None:
        self._viewer.take(message, now)

    def _note(self, event: ClientEvent, now: float) -> None:
        if isinstance(event, ReconnectRequested):
            self.asked_to_go.set()


class _Viewer:
    """Plays one stream, for ever, from the first of ``edges`` as long as there is no reason not to.

    ``home`` is where it was at the mark.
    """

    def __init__(
        self,
        stream: str,
        edges: list[str],
        edge: int,
        deliveries: Deliveries,
        *,
        can_reconnect: bool,
    ) -> None:
        self.stream = stream
        self.home = self.edge = edge
        self.can_reconnect = can_reconnect
        self.checker = Checker()
        self.client: _Player | None = None
        self._edges = edges
        self._deliveries = deliveries
        self.task = asyncio.ensure_future(self._run())

    def take(self, message: Message, now: float) -> None:
        """Check a message."""
        tag = self.checker.take(message, now)
        if tag is not None and message.type_id == MessageType.VIDEO:
            self._deliveries.note(self.stream, self.edge, tag, now)

    async def _run(self) -> None:
        while True:
            try:
                client = await open_client(
                    f"rtmp://{self._edges[self.edge]}/{self.stream}",
                    Mode.PLAY,
                    lambda core: _Player(core, self),
                    {"capsEx": _CAN_RECONNECT if self.can_reconnect else 0},
                )
            except HeadwaterError:
                self._go_elsewhere()
                await asyncio.sleep(RETRY_S)
                continue
            await self._watch(client)

    async def _watch(self, client: _Player) -> None:
        """Play until the connection ends, or the viewer goes as it was asked to."""
        self.client = client
        asked = asyncio.ensure_future(client.asked_to_go.wait())
        try:
            ends: set[asyncio.Future[Any]] = {client.closed, asked}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
        self.client = None
        self.checker.reconnected()
        seen = self.checker.seen
        if client.closed.done():
            closed = client.closed.result()
            seen.disconnects.append(f"{closed.reason} {closed.detail}".strip())
            seen.disconnected_at.append(monotonic())
            await asyncio.sleep(RETRY_S)
        else:
            seen.moved_at.append(monotonic())
            client.close()
            self._go_elsewhere()

    def _go_elsewhere(self) -> None:
        self.edge = (self.edge + 1) % len(self._edges)


class _Crowd:
    """All viewers, and the commands to them."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._deliveries = Deliveries()
        self._viewers: list[_Viewer] = []

    async def fill(self) -> None:
        """Let the viewers come."""
        edges, streams = self._options["edges"], self._options["streams"]
        for number in range(self._options["count"]):
            of_stream = number // len(streams)
            can_reconnect = of_stream // len(edges) % 2 == 0
            self._add(streams[number % len(streams)], of_stream % len(edges), can_reconnect)
            await asyncio.sleep(1 / PER_S)

    def mark(self, **_: object) -> dict[str, Any]:
        """Begin a new period."""
        now = monotonic()
        self._deliveries.forget()
        for viewer in self._viewers:
            viewer.checker.reset(now)
            viewer.home = viewer.edge
        return {"at": now}

    def playing(self, within_s: float = 0.5) -> dict[str, Any]:
        """Tell how many viewers get media just now."""
        since = monotonic() - within_s
        playing = sum(viewer.checker.last_at > since for viewer in self._viewers)
        return {"playing": playing, "all": len(self._viewers)}

    def report(self) -> dict[str, Any]:
        """Tell what each viewer has seen since the mark."""
        now = monotonic()
        return {
            "at": now,
            "sessions": self._deliveries.report(),
            "viewers": [
                {
                    "stream": viewer.stream,
                    "home": viewer.home,
                    "can_reconnect": viewer.can_reconnect,
                    **viewer.checker.report(now),
                }
                for viewer in self._viewers
            ],
        }

    def churn(self, count: int) -> dict[str, Any]:
        """Let the oldest viewers leave and as many new ones come."""
        leaving, self._viewers = self._viewers[:count], self._viewers[count:]
        for viewer in leaving:
            viewer.task.cancel()
            if viewer.client is not None:
                viewer.client.close()
            self._add(viewer.stream, viewer.edge, viewer.can_reconnect)
        return {}

    def _add(self, stream: str, edge: int, can_reconnect: bool) -> None:
        edges = self._options["edges"]
        self._viewers.append(
            _Viewer(stream, edges, edge, self._deliveries, can_reconnect=can_reconnect)
        )


async def _main(options: dict[str, Any]) -> None:
    crowd = _Crowd(options)
    await crowd.fill()
    async for command in commands():
        tell(getattr(crowd, command.pop("do"))(**command))


if __name__ == "__main__":
    uvloop.run(_main(json.loads(sys.argv[1])))
