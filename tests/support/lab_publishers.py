"""The encoders of the failure lab, in one process: ``python -m tests.support.lab_publishers JSON``.

Each publishes one stream in real time and, when it loses its origin, goes on at another at once,
as an encoder behind a load balancer does. It tells what happens: a session begun (``accepted``),
its first keyframe sent (``keyframe``), its end (``gone``), an attempt that failed (``failed``).

Options: ``origins`` (host:port of each), ``streams`` (name: index of its origin). Commands: `move`
(to another origin), `second` (a publisher besides the first), `stop`, `shape`; see `_Encoders`.
"""

import asyncio
import json
import sys
from contextlib import suppress
from time import monotonic
from typing import Any, Final

import uvloop

from common.errors import HeadwaterError
from common.local.client import open_client
from common.rtmp.client import ClientConnection, Mode
from common.rtmp.events import ClientEvent, ReconnectRequested, Refused
from tests.support.lab_child import commands, tell
from tests.support.lab_media import Shape, Tag, headers, message, schedule
from tests.support.publisher import Publisher

ANSWER_S: Final = 4.0
"""An encoder that is not accepted after so long tries another origin."""

RETRY_S: Final = 0.05


class _LabPublisher(Publisher):
    """A publisher that remembers why it was refused, and goes when it is asked to."""

    def __init__(self, core: ClientConnection) -> None:
        super().__init__(core)
        self.code = ""
        self.asked_to_go: asyncio.Event = asyncio.Event()

    def _note(self, event: ClientEvent, now: float) -> None:
        super()._note(event, now)
        if isinstance(event, Refused):
            self.code = event.code
        elif isinstance(event, ReconnectRequested):
            self.asked_to_go.set()


class _Encoder:
    """One encoder: publishes its stream until it is told to stop."""

    def __init__(self, stream: str, origins: list[str], at: int, sessions: dict[str, int]) -> None:
        self.stream = stream
        self.at = at
        self.shape = Shape()
        self.final = False  # whether the session that runs is its last one
        self._origins = origins
        self._sessions = sessions
        self._publisher: _LabPublisher | None = None
        self._moving: asyncio.Event = asyncio.Event()
        self._abandoned: list[_LabPublisher] = []
        self.task = asyncio.ensure_future(self._run())

    def move(self, to: int | None, how: str) -> None:
        """End the session (``leave``, ``abort``, or ``abandon`` it half-open) and begin another."""
        self.at = self._next() if to is None else to
        if self._publisher is not None:
            self._part(self._publisher, how)
        self._moving.set()

    def stop(self, how: str) -> None:
        """End the session and begin no other."""
        self.task.cancel()
        if self._publisher is not None:
            self._part(self._publisher, how)

    def _part(self, publisher: _LabPublisher, how: str) -> None:
        if how == "leave":
            publisher.close()
        elif how == "abort":
            publisher.abort()
        else:
            self._abandoned.append(publisher)

    async def _run(self) -> None:
        while True:
            self._moving.clear()
            tried_at = monotonic()
            publisher = await self._open()
            if publisher is None:
                self.at = self._next()
                await asyncio.sleep(max(0.0, RETRY_S - (monotonic() - tried_at)))
                continue
            await self._publish(publisher)
            if self.final:
                return

    async def _open(self) -> _LabPublisher | None:
        url = f"rtmp://{self._origins[self.at]}/{self.stream}"
        publisher = None
        try:
            async with asyncio.timeout(ANSWER_S):
                publisher = await open_client(url, Mode.PUBLISH, _LabPublisher)
                if await publisher.started:
                    return publisher
            problem = publisher.code or "closed"
        except TimeoutError:
            problem = "timeout"
        except HeadwaterError as error:
            problem = str(error)
        if publisher is not None:
            publisher.abort()
        self._tell("failed", problem=problem)
        return None

    async def _publish(self, publisher: _LabPublisher) -> None:
        self._publisher = publisher
        session = self._sessions[self.stream] = self._sessions.get(self.stream, 0) + 1
        self._tell("accepted", session=session)
        sending = asyncio.ensure_future(self._send(publisher, session))
        moving = asyncio.ensure_future(self._moving.wait())
        asked = asyncio.ensure_future(publisher.asked_to_go.wait())
        try:
            ends: set[asyncio.Future[Any]] = {publisher.closed, moving, asked, sending}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            moving.cancel()
            asked.cancel()
            self._publisher = None
        await asyncio.gather(sending, return_exceptions=True)
        if not self._moving.is_set():
            publisher.close()
            self.at = self._next()
        reason = publisher.closed.result().reason if publisher.closed.done() else "abandoned"
        self._tell("gone", session=session, reason=reason, code=publisher.code)

    async def _send(self, publisher: _LabPublisher, session: int) -> None:
        shape = self.shape
        for tag in headers(shape):
            publisher.send(tag)
        began = monotonic()
        for sequence, (at, type_id, key) in enumerate(schedule(shape)):
            if (wait := began + at / 1000 - monotonic()) > 0:
                await asyncio.sleep(wait)
            payload = message(type_id, key, Tag(session, sequence, shape.variant, monotonic()))
            publisher.send_payload(type_id, at, payload)
            if sequence == 0:
                self._tell("keyframe", session=session)

    def _next(self) -> int:
        return (self.at + 1) % len(self._origins)

    def _tell(self, news: str, **more: object) -> None:
        tell({"news": news, "stream": self.stream, "origin": self.at, "at": monotonic(), **more})


class _Encoders:
    """All encoders, and the commands to them."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._origins: list[str] = options["origins"]
        self._sessions: dict[str, int] = {}
        self._first = {stream: self._begin(stream, at) for stream, at in options["streams"].items()}
        self._second: dict[str, _Encoder] = {}

    def _begin(self, stream: str, at: int) -> _Encoder:
        return _Encoder(stream, self._origins, at, self._sessions)

    def move(self, stream: str, to: int | None = None, how: str = "leave") -> None:
        """End a session in one way or another and begin the next at origin ``to``."""
        self._first[stream].move(to, how)

    def second(self, stream: str, to: int) -> None:
        """Begin a second publisher of a stream; the first does not come back once told off."""
        self._first[stream].final = True
        self._second[stream] = self._begin(stream, to)

    def stop(self, stream: str, how: str = "leave", second: bool = False) -> None:
        """Stop a publisher; where the first one stops, the second takes its place here."""
        encoder = (self._second if second else self._first).pop(stream)
        encoder.stop(how)
        if not second and stream in self._second:
            self._first[stream] = self._second.pop(stream)

    def shape(self, stream: str, variant: int = 0, audio: bool = True) -> None:
        """Set how a stream's encoder is set from its next session on."""
        self._first[stream].shape = Shape(variant=variant, audio=audio)

    def start(self, stream: str, to: int) -> None:
        """Begin to publish a stream that nobody publishes."""
        self._first[stream] = self._begin(stream, to)


async def _main(options: dict[str, Any]) -> None:
    encoders = _Encoders(options)
    async for command in commands():
        do = command.pop("do")
        if do == "tasks":
            tell({"tasks": len(asyncio.all_tasks())})
            continue
        with suppress(KeyError):  # a stream that nobody publishes: nothing to be done
            getattr(encoders, do)(**command)
        tell({})


if __name__ == "__main__":
    uvloop.run(_main(json.loads(sys.argv[1])))
