"""What a role (origin, edge) gives to the supervisor, and what it gets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from common.cluster.records import NodeRole, StreamLoad
from common.config.model import Settings
from common.ids import NodeId, StreamKey


@dataclass(frozen=True, slots=True, order=True)
class Post:
    """A worker's place in its node: a slot of one generation. Each reload begins a generation."""

    generation: int
    slot: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerContext:
    """Everything a worker knows at its start."""

    settings: Settings
    role: NodeRole
    node: NodeId
    slot: int  # 0 .. workers - 1; a replacement takes its predecessor's slot
    workers: int
    rtmp_host: str
    rtmp_port: int  # never 0: the supervisor has reserved it
    advertise_host: str
    runtime_dir: Path  # shared by the workers of this node, private to it
    generation: int = 0  # siblings are of the same one: others may not understand each other

    @property
    def post(self) -> Post:
        """The worker's place."""
        return Post(self.generation, self.slot)

    def sibling_socket(self, slot: int) -> Path:
        """Return the Unix socket on which worker ``slot`` serves its siblings."""
        return self.runtime_dir / f"worker-{self.generation}.{slot}.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """What a worker tells with each heartbeat."""

    viewers: int = 0
    publishers: int = 0
    ingress_bytes: int = 0  # since the worker's start
    egress_bytes: int = 0  # since the worker's start
    directory_ok: bool = True
    streams: Mapping[StreamKey, StreamLoad] = field(default_factory=dict)
    relay: str = ""  # "host:port" for relays of other edges, if it serves any


class WorkerApp(Protocol):
    """A role inside one worker process. Called from the worker's event loop only."""

    async def start(self) -> None:
        """Open the listeners. The worker is ready when this returns."""
        ...

    def status(self) -> WorkerStatus:
        """Return current figures; called for each heartbeat, must be cheap."""
        ...

    def members_changed(self, slots: frozenset[int]) -> None:
        """Take note of which workers of this generation are ready, this one included."""
        ...

    async def retire(self) -> None:
        """Take no new connections, which others do now; return when the last one has gone.

        May be cancelled, to drain or to stop.
        """
        ...

    async def drain(self, timeout_s: float) -> None:
        """Take no new connections and send those that are here elsewhere.

        Return when the last one has gone, at most after ``timeout_s``.
        """
        ...

    async def stop(self) -> None:
        """Close everything that is left, at once."""
        ...
