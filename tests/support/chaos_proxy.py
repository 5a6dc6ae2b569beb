"""A TCP proxy that misbehaves on demand: between two nodes, or between a node and its Redis.

It knows nothing of what passes. Trouble is set by direction and holds for running and for new
connections alike, until `heal`:

* freeze: connections are accepted and stay open, nothing passes. What was sent meanwhile arrives
  after the freeze, as it does when a network comes back [RFC 9293 §3.8.1, retransmission];
* delay: every byte comes later, in order;
* loss: now and then a piece, and all behind it, comes a retransmission later: what TCP makes of
  lost segments;
* rate: bytes per second.

`cut` resets what runs; `refuse` closes the port.
"""

import asyncio
import random
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Flag, auto
from time import monotonic
from types import TracebackType
from typing import Final

READ_BYTES: Final = 16_384
IN_FLIGHT: Final = 64
"""Pieces on their way, at most: then the sender's own socket holds the rest."""

RETRANSMISSION_S: Final = 0.2  # Linux's shortest [RFC 6298 §2.4 would have it 1 s]

_RESET: Final = struct.pack("ii", 1, 0)  # linger on, for no time: close sends RST


class Way(Flag):
    """Directions through the proxy."""

    FORTH = auto()  # from whoever connected to the target
    BACK = auto()
    BOTH = FORTH | BACK


@dataclass(slots=True)
class _Trouble:
    """What is wrong in one direction."""

    delay_s: float = 0.0
    loss: float = 0.0  # probability per piece
    bytes_per_s: float = 0.0  # 0: no limit
    open: asyncio.Event = field(default_factory=asyncio.Event)

    def heal(self) -> None:
        self.delay_s = self.loss = self.bytes_per_s = 0.0
        self.open.set()


class ChaosProxy:
    """Forwards ``host:port`` to ``target`` for the length of an ``async with`` block."""

    def __init__(
        self, target: tuple[str, int], *, host: str = "127.0.0.1", port: int = 0, seed: int = 1
    ) -> None:
        self.target = target
        self.host = host
        self.port = port  # 0: a free one, known once it runs
        self.bytes = {Way.FORTH: 0, Way.BACK: 0}
        self._random = random.Random(seed)
        self._trouble = {Way.FORTH: _Trouble(), Way.BACK: _Trouble()}
        self._server: asyncio.Server | None = None
        self._running: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}
        self.heal_ways()

    async def __aenter__(self) -> "ChaosProxy":
        await self._listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.refuse()
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def connections(self) -> int:
        """Connections that are open just now."""
        return len(self._running)

    def cut(self) -> None:
        """Reset all connections; new ones are welcome."""
        for writers in self._running.values():
            for writer in writers:
                _reset(writer)

    def refuse(self) -> None:
        """Close the port: who connects is refused. What runs goes on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def freeze(self, ways: Way = Way.BOTH) -> None:
        """Let nothing pass."""
        for trouble in self._of(ways):
            trouble.open.clear()

    def delay(self, seconds: float, ways: Way = Way.BOTH) -> None:
        """Let every byte come so much later."""
        for trouble in self._of(ways):
            trouble.delay_s = seconds

    def lose(self, share: float, ways: Way = Way.BOTH) -> None:
        """Let this share of the pieces come a retransmission later."""
        for trouble in self._of(ways):
            trouble.loss = share

    def limit(self, bytes_per_s: float, ways: Way = Way.BOTH) -> None:
        """Let no more than so much pass on each connection."""
        for trouble in self._of(ways):
            trouble.bytes_per_s = bytes_per_s

    def heal_ways(self) -> None:
        """End all trouble in the ways; a closed port stays closed."""
        for trouble in self._trouble.values():
            trouble.heal()

    async def heal(self) -> None:
        """End all trouble."""
        self.heal_ways()
        if self._server is None:
            await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._connected, self.host, self.port, reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def _of(self, ways: Way) -> list[_Trouble]:
        return [trouble for way, trouble in self._trouble.items() if way in ways]

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not a coroutine: asyncio before 3.12 logs a traceback when the task that it makes of one
        # is cancelled.
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._running[task] = [writer]
        task.add_done_callback(self._running.pop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = self._running[asyncio.current_task()]  # type: ignore[index] # we are a task
        try:
            # Whoever cannot be reached over a frozen way does not answer at all.
            await self._trouble[Way.FORTH].open.wait()
            target_reader, target_writer = await asyncio.open_connection(*self.target)
            writers.append(target_writer)
            ways = [
                asyncio.ensure_future(self._carry(reader, target_writer, Way.FORTH)),
                asyncio.ensure_future(self._carry(target_reader, writer, Way.BACK)),
            ]
            try:
                await asyncio.gather(*ways)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            writers.reverse()  # for whom it is a reset, too
            _reset(writer)
        finally:
            for each in writers:
                each.close()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way
    ) -> None:
        """Carry bytes one way until their end has been passed on."""
        line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(IN_FLIGHT)
        taking = asyncio.ensure_future(self._take(reader, line, way))
        try:
            await self._give(line, writer, way)
        finally:
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)

    async def _take(
        self, reader: asyncio.StreamReader, line: "asyncio.Queue[tuple[float, bytes]]", way: Way
    ) -> None:
        trouble = self._trouble[way]
        while True:
            await trouble.open.wait()
            data = b""
            with suppress(OSError):  # a reset is passed on as an end
                data = await reader.read(READ_BYTES)
            late_s = trouble.delay_s
            if trouble.loss and self._random.random() < trouble.loss:
                late_s += RETRANSMISSION_S
            await line.put((monotonic() + late_s, data))
            if not data:
                return

    async def _give(
        self, line: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter, way: Way
    ) -> None:
        trouble = self._trouble[way]
        while True:
            due, data = await line.get()
            if (wait := due - monotonic()) > 0:
                await asyncio.sleep(wait)
            await trouble.open.wait()
            if not data:
                writer.close()
                return
            if trouble.bytes_per_s:
                await asyncio.sleep(len(data) / trouble.bytes_per_s)
            if writer.transport.is_closing():  # uvloop does not take writes to what it has closed
                return
            self.bytes[way] += len(data)
            writer.write(data)
            await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    raw: socket.socket | None = writer.get_extra_info("socket")
    if raw is not None and raw.fileno() >= 0:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport = writer.transport
    transport.abort()
