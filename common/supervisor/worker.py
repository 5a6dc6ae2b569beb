"""The main program of a worker process."""

import asyncio
import errno
import faulthandler
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Final, NoReturn

import uvloop

from common.errors import ConfigError
from common.logs import setup_logging
from common.supervisor.app import WorkerApp, WorkerContext
from common.supervisor.channel import Channel
from common.supervisor.exit_codes import ExitCode
from common.supervisor.fdlimit import raise_fd_limit
from common.supervisor.messages import (
    BootFailed,
    ChannelError,
    Configure,
    Drain,
    Heartbeat,
    Members,
    Message,
    Ready,
    Retire,
    Stop,
)
from common.supervisor.vitals import VitalsMeter
from common.supervisor.worker_process import CONTROL_FD_ENV

MakeApp = Callable[[WorkerContext], WorkerApp]

ORPHAN_STOP_S: Final = 1.0
"""What an orphan allows itself to close its connections and give its leases back."""

_GC_THRESHOLD: Final = 20_000
"""New objects that may not have gone again before a collection of the youngest."""

_BOOT_ERRNOS: Final = {errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES, errno.EPERM}
"""What the system says when an address cannot be had: trying again does not change it."""


class _SupervisorGone:
    """Takes the place of an order when the supervisor has died."""


_End = Retire | Drain | Stop | _SupervisorGone


def run_worker(make_app: MakeApp) -> NoReturn:
    """Run a role in this process until the supervisor ends it, or is gone itself.

    The process must have been started by the supervisor. ``make_app`` is called once, in the event
    loop. A `ConfigError`, or an address that cannot be had, from it or from the role's ``start``
    ends a node that is just starting: doing the same again would not help.
    """
    # The supervisor decides when workers end. A signal meant for it may reach us as well: from a
    # process manager that signals all processes of a group, or from a person.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    faulthandler.enable()  # SIGABRT, which a silent worker gets, writes where it hangs
    control_fd = os.environ.pop(CONTROL_FD_ENV, "")
    if not control_fd:
        sys.stderr.write("a worker is started by its supervisor; use: headwater origin|edge\n")
        sys.exit(ExitCode.USAGE)
    raise_fd_limit()
    sys.exit(uvloop.run(_main(socket.socket(fileno=int(control_fd)), make_app)))


async def _main(control: socket.socket, make_app: MakeApp) -> ExitCode:
    channel = await Channel.open(control)
    try:
        context = await _receive_context(channel)
        if context is None:
            return ExitCode.ORPHANED
        log = context.settings.log
        setup_logging(log.level, log.format, node=context.node, worker=context.slot)
        worker = _Worker(channel, context.settings.supervisor.heartbeat_s, make_app(context))
        end = await worker.start()
    except (ChannelError, ConfigError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _BOOT_ERRNOS:
            raise
        channel.send(BootFailed(reason=str(error)))
        await channel.flush()
        return ExitCode.COULD_NOT_BOOT
    return await worker.stop(end or await worker.serve())


async def _receive_context(channel: Channel) -> WorkerContext | None:
    """Return what the worker must know, None when the supervisor has gone."""
    first = await channel.receive()
    match first:
        case Configure(context=context):
            return context
        case None:
            return None
    raise ChannelError(f"the first message is {type(first).__name__}, not Configure")


class _Worker:
    """A role between its start and its end: obeys the supervisor, sends it heartbeats."""

    def __init__(self, channel: Channel, heartbeat_s: float, app: WorkerApp) -> None:
        self._channel = channel
        self._heartbeat_s = heartbeat_s
        self._app = app
        self._ends: asyncio.Queue[_End] = asyncio.Queue()
        self._obeying = asyncio.create_task(self._obey())

    async def start(self) -> _End | None:
        """Start the role; return an end that was wanted before it was ready."""
        end = await self._unless_ended(self._app.start())
        if end is None:
            # What is here now stays: without it a collection costs only what came since, and no
            # viewer waits for one that walks all modules. And media comes and goes by the
            # thousand without circles: by default a publisher's packets alone would set it off.
            gc.collect()
            gc.freeze()
            gc.set_threshold(_GC_THRESHOLD)
            # Figures first: whoever is told that we are ready is told where we serve relays.
            self._tell(VitalsMeter())
            self._channel.send(Ready())
        return end

    async def serve(self) -> _End:
        """Serve until an end is wanted; retire or drain when that is how it should be."""
        end = await self._unless_ended(self._beat())
        if isinstance(end, Retire):
            end = await self._unless_ended(self._beat_during(self._app.retire()))
        if isinstance(end, Drain):
            end = await self._unless_ended(self._beat_during(self._app.drain(end.timeout_s)))
        return end or Stop()

    async def stop(self, end: _End) -> ExitCode:
        """Close what is left."""
        if not isinstance(end, _SupervisorGone):
            await self._app.stop()
            return ExitCode.OK
        with suppress(TimeoutError):
            async with asyncio.timeout(ORPHAN_STOP_S):
                await self._app.stop()
        self._obeying.result()  # raises what ended it, if that was not the channel's end
        return ExitCode.ORPHANED

    async def _obey(self) -> None:
        """Carry out the supervisor's messages; those that want an end are queued."""
        try:
            while (message := await self._channel.receive()) is not None:
                self._carry_out(message)
        finally:
            self._ends.put_nowait(_SupervisorGone())

    def _carry_out(self, message: Message) -> None:
        match message:
            case Members(slots=slots):
                self._app.members_changed(slots)
            case Retire() | Drain() | Stop():
                self._ends.put_nowait(message)
            case _:
                raise ChannelError(f"a supervisor must not send {type(message).__name__}")

    async def _unless_ended(self, work: Coroutine[object, object, None]) -> _End | None:
        """Do ``work``; return None when it is done, or the wanted end that interrupted it."""
        working = asyncio.create_task(work)
        ending = asyncio.create_task(self._ends.get())
        try:
            await asyncio.wait({working, ending}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()  # raises what the role raised
            return ending.result() if ending.done() else None
        finally:
            ending.cancel()
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working

    async def _beat_during(self, work: Coroutine[object, object, None]) -> None:
        beating = asyncio.create_task(self._beat())
        try:
            await work
        finally:
            beating.cancel()

    async def _beat(self) -> None:
        """Send heartbeats, for ever: while they come, the event loop turns."""
        meter = VitalsMeter()
        while True:
            self._tell(meter)
            await meter.pause(self._heartbeat_s)

    def _tell(self, meter: VitalsMeter) -> None:
        status = self._app.status()
        vitals = meter.measure(status.egress_bytes)
        self._channel.send(Heartbeat(status=status, vitals=vitals))
