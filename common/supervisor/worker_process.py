"""One worker as the supervisor holds it: an OS process and the control channel to it."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace

from common.logs import get_log
from common.metrics import MULTIPROC_ENV
from common.supervisor.app import Post, WorkerContext, WorkerStatus
from common.supervisor.channel import Channel
from common.supervisor.messages import (
    BootFailed,
    ChannelError,
    Configure,
    Heartbeat,
    Message,
    Ready,
    ToWorker,
    Vitals,
)
from common.supervisor.python_module import module_command, module_environment
from common.supervisor.runtime_dir import metrics_dir

CONTROL_FD_ENV = "HEADWATER_CONTROL_FD"
"""Names the inherited file descriptor of a worker's end of the control channel."""

_log = get_log("supervisor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a worker told last."""

    status: WorkerStatus = field(default_factory=WorkerStatus)
    vitals: Vitals = field(default_factory=Vitals)

    def as_dict(self) -> dict[str, object]:
        """Return the plain figures, without those of single streams."""
        figures = asdict(self.vitals) | asdict(replace(self.status, streams={}))
        del figures["streams"]
        return figures


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """The worker has opened its listeners."""

    post: Post


@dataclass(frozen=True, slots=True)
class WorkerHeard:
    """A heartbeat has come; `WorkerProcess.figures` are new."""

    post: Post


@dataclass(frozen=True, slots=True)
class WorkerExited:
    """The process has ended. Always the last event of a worker."""

    post: Post
    pid: int
    code: int  # negative: the signal
    boot_failure: str


WorkerEvent = WorkerReady | WorkerHeard | WorkerExited


class WorkerProcess:
    """A running worker. Its events go to ``report``, in order."""

    def __init__(
        self,
        post: Post,
        process: asyncio.subprocess.Process,
        channel: Channel,
        report: Callable[[WorkerEvent], None],
    ) -> None:
        self.post = post
        self.pid = process.pid
        self.figures = Figures()
        self._process = process
        self._channel = channel
        self._report = report
        self._boot_failure = ""
        self._watching = asyncio.create_task(
            self._watch(), name=f"worker-{post.generation}.{post.slot}"
        )

    @classmethod
    async def launch(
        cls, module: str, context: WorkerContext, report: Callable[[WorkerEvent], None]
    ) -> "WorkerProcess":
        """Start ``module`` as the worker at ``context.post`` and tell it everything it must know.

        Raises:
            OSError: the system cannot start one more process.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            channel = await Channel.open(ours)
            try:
                process = await asyncio.create_subprocess_exec(
                    *module_command(module),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    env=_environment(theirs.fileno(), context),
                    # Ctrl-C in a terminal reaches the whole foreground process group; a
                    # session of its own leaves it to the supervisor what a worker hears of it.
                    start_new_session=True,
                )
            except BaseException:
                channel.close()
                raise
        worker = cls(context.post, process, channel, report)
        worker.send(Configure(context=context))
        return worker

    def send(self, message: ToWorker) -> None:
        """Send a message; one to a worker that has gone is lost."""
        self._channel.send(message)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has already ended."""
        if self._process.returncode is None:
            self._process.send_signal(number)

    async def wait(self) -> None:
        """Wait until the process has ended and been reported."""
        await self._watching

    async def _watch(self) -> None:
        try:
            while (message := await self._channel.receive()) is not None:
                self._take(message)
        except ChannelError as error:
            _log.error(
                "worker is unintelligible", worker=self.post.slot, pid=self.pid, reason=error
            )
            self.signal(signal.SIGKILL)
        code = await self._process.wait()
        self._channel.close()
        self._report(WorkerExited(self.post, self.pid, code, self._boot_failure))

    def _take(self, message: Message) -> None:
        match message:
            case Ready():
                self._report(WorkerReady(self.post))
            case Heartbeat(status=status, vitals=vitals):
                self.figures = Figures(status=status, vitals=vitals)
                self._report(WorkerHeard(self.post))
            case BootFailed(reason=reason):
                self._boot_failure = reason
            case _:
                raise ChannelError(f"a worker must not send {type(message).__name__}")


def _environment(control_fd: int, context: WorkerContext) -> dict[str, str]:
    inherited = module_environment()
    # Settings from our own environment, passwords among them, reach a worker by the channel only.
    ours = [name for name in os.environ if name.startswith("HEADWATER_")]
    for name in ours:
        del inherited[name]
    return inherited | {
        CONTROL_FD_ENV: str(control_fd),
        MULTIPROC_ENV: str(metrics_dir(context.runtime_dir)),
    }
