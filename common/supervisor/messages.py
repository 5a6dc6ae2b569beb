"""What the supervisor and a worker say to each other.

A message on the wire is a 4-byte big-endian length and a msgpack list ``[version, kind, fields]``.
Both ends are the same release but for one case: the files on disk were replaced under a running
supervisor, and a new worker runs newer code. Unknown fields are ignored for that; a newer version
is refused, and the worker says so instead of guessing.

Sans-IO: bytes in, messages out. `common.supervisor.channel` moves the bytes.
"""

from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

import msgpack
from pydantic import SecretStr, TypeAdapter, ValidationError

from common.errors import HeadwaterError
from common.supervisor.app import WorkerContext, WorkerStatus

VERSION: Final = 1

MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
"""A heartbeat of 100,000 streams takes about a tenth of it."""

_LENGTH_BYTES: Final = 4


class ChannelError(HeadwaterError):
    """The other end of a control channel said something that cannot be understood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configure:
    """To a worker, first and once: everything it must know, the secrets included.

    Secrets travel here and not in arguments or the environment, where ``ps`` shows them.
    """

    context: WorkerContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """To a worker: the slots of its generation whose workers are ready, its own included."""

    slots: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retire:
    """To a worker: take no new connections, and end when the last one has gone by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """To a worker: take no new connections, send those that are here elsewhere, then end."""

    timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """To a worker: close everything and end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """From a worker, once: its listeners are open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BootFailed:
    """From a worker, before it ends: why starting it again would not help."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """How a worker's process fares."""

    loop_lag_s: float = 0.0
    cpu_share: float = 0.0  # of one core, since the heartbeat before
    egress_bps: int = 0  # since the heartbeat before
    memory_bytes: int = 0
    open_fds: int = 0
    tasks: int = 0  # of the event loop; they grow with streams, not with viewers
    max_fds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """From a worker's event loop, periodically: the proof that it turns."""

    status: WorkerStatus
    vitals: Vitals


ToWorker = Configure | Members | Retire | Drain | Stop
FromWorker = Ready | BootFailed | Heartbeat
Message = ToWorker | FromWorker

_ADAPTERS: Final[dict[type[Message], TypeAdapter[Message]]] = {
    kind: TypeAdapter(kind)
    for kind in (Configure, Members, Retire, Drain, Stop, Ready, BootFailed, Heartbeat)
}
_KINDS: Final = {kind.__name__: kind for kind in _ADAPTERS}


def encode(message: Message) -> bytes:
    """Return ``message`` as it goes over the channel."""
    kind = type(message)
    fields = _ADAPTERS[kind].dump_python(message)
    body: bytes = msgpack.packb([VERSION, kind.__name__, fields], default=_plain)
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


class Decoder:
    """Cuts the bytes of a channel into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """Take ``data`` and return the messages that it completes.

        Raises:
            ChannelError: what came is no message of ours; the channel is of no use any more.
        """
        self._buffer += data
        messages = []
        while (body := self._next_body()) is not None:
            messages.append(_decode(body))
        return messages

    def _next_body(self) -> bytes | None:
        if len(self._buffer) < _LENGTH_BYTES:
            return None
        length = int.from_bytes(self._buffer[:_LENGTH_BYTES], "big")
        if length > MAX_MESSAGE_BYTES:
            raise ChannelError(f"message of {length} bytes, at most {MAX_MESSAGE_BYTES} allowed")
        end = _LENGTH_BYTES + length
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[_LENGTH_BYTES:end])
        del self._buffer[:end]
        return body


def _decode(body: bytes) -> Message:
    try:
        version, kind, fields = msgpack.unpackb(body, strict_map_key=False)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise ChannelError("not a message: no list of version, kind and fields") from error
    if version != VERSION:
        raise ChannelError(
            f"message version {version}, this release speaks {VERSION}: "
            "the files on disk are of another release than the running supervisor; restart it"
        )
    if kind not in _KINDS:
        raise ChannelError(f"unknown kind of message {kind!r}")
    try:
        return _ADAPTERS[_KINDS[kind]].validate_python(fields)
    except ValidationError as error:
        # Not the error's own text: it quotes the values, which may be secrets.
        where = ", ".join(".".join(map(str, each["loc"])) for each in error.errors())
        raise ChannelError(f"{kind} has a bad field: {where}") from None


def _plain(value: object) -> object:
    """Return what msgpack can pack for the few types it does not know."""
    match value:
        case SecretStr():
            return value.get_secret_value()
        case PurePath():
            return str(value)
        case frozenset():
            return sorted(value)
    raise TypeError(f"cannot send a {type(value).__name__}")
