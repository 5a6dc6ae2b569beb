"""Origins and edges in this process, and what tests feed them with."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from common.clock import SystemClock
from common.cluster.directory import Directory
from common.cluster.memory import MemoryDirectory, MemoryTable
from common.cluster.records import NodeRole
from common.config.model import Settings
from common.ids import NodeId, StreamKey
from common.local.redis_server import HOST, free_port
from common.media.flv_file import FlvTag
from common.rtmp.message import MessageType
from common.supervisor.app import WorkerContext
from edge.app import EdgeApp
from origin.app import OriginApp

STREAM = StreamKey("live/show")
FRAME_MS = 40

_VIDEO_HEADER = b"\x17\x00\x00\x00\x00\x01\x64\x00\x1e\xff"
_AUDIO_HEADER = b"\xaf\x00\x12\x10"


def quick_settings(**sections: dict[str, object]) -> Settings:
    """Return settings with everything on loopback and short times."""
    base: dict[str, dict[str, object]] = {
        "rtmp": {"listen": f"{HOST}:0"},
        "lease": {"ttl_s": 2.0, "renew_s": 0.05},
        "relay": {
            "listen_host": HOST,
            "first_byte_timeout_s": 1.0,
            "backoff_min_s": 0.01,
            "backoff_max_s": 0.1,
        },
        "edge": {
            "hold_s": 0.3,
            "negative_cache_s": 0.1,
            "linger_s": 0.3,
            "grace_s": 1.0,
            "recheck_s": 60.0,
        },
    }
    merged = {name: base.get(name, {}) | sections.get(name, {}) for name in base | sections}
    return Settings.model_validate(merged)


def memory_directory(table: MemoryTable, settings: Settings) -> MemoryDirectory:
    """Return one node's view of ``table``."""
    return MemoryDirectory(SystemClock(), table=table, lease=settings.lease)


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for the name of a Unix socket, unlike ``tmp_path``."""
    with tempfile.TemporaryDirectory(prefix="hw-") as folder:
        yield Path(folder)


def make_context(
    role: NodeRole,
    settings: Settings,
    *,
    folder: Path = Path(),
    node: str = "",
    slot: int = 0,
    port: int = 0,
) -> WorkerContext:
    """Return what a worker knows at its start; ``port`` 0: any free one."""
    return WorkerContext(
        settings=settings,
        role=role,
        node=NodeId(node or f"{role.value}-1"),
        slot=slot,
        workers=1,
        rtmp_host=HOST,
        rtmp_port=port or free_port(),
        advertise_host=HOST,
        runtime_dir=folder,
    )


class InProcess:
    """A worker of a node in this process."""

    def __init__(self, app: OriginApp | EdgeApp, context: WorkerContext) -> None:
        self.app = app
        self.context = context

    def url(self, stream: str = STREAM) -> str:
        """Where to publish or play ``stream``."""
        return f"rtmp://{HOST}:{self.context.rtmp_port}/{stream}"


@asynccontextmanager
async def running_origin(
    directory: Directory, settings: Settings, node: str = "origin-1"
) -> AsyncIterator[InProcess]:
    """An origin of one worker."""
    context = make_context(NodeRole.ORIGIN, settings, node=node)
    app = OriginApp(context, directory)
    await app.start()
    try:
        yield InProcess(app, context)
    finally:
        await app.stop()


@asynccontextmanager
async def running_edge(
    directory: Directory, settings: Settings, node: str = "edge-1"
) -> AsyncIterator[InProcess]:
    """An edge of one worker."""
    with short_folder() as folder:
        context = make_context(NodeRole.EDGE, settings, folder=folder, node=node)
        app = EdgeApp(context, directory)
        await app.start()
        app.members_changed(frozenset({0}))
        try:
            yield InProcess(app, context)
        finally:
            await app.stop()


def make_headers() -> list[FlvTag]:
    """Return the codec headers of every test stream."""
    return [
        FlvTag(MessageType.VIDEO, 0, _VIDEO_HEADER),
        FlvTag(MessageType.AUDIO, 0, _AUDIO_HEADER),
    ]


def make_frames(name: str, count: int, *, first: int = 0, gop: int = 5) -> list[FlvTag]:
    """Return video frames that say whose they are and which: ``name-number``.

    The first is a keyframe, and so is each whose number is a multiple of ``gop``.
    """
    frames = []
    for number in range(first, first + count):
        kind = b"\x17" if number % gop == 0 or number == first else b"\x27"
        payload = kind + b"\x01\x00\x00\x00" + f"{name}-{number}".encode()
        frames.append(FlvTag(MessageType.VIDEO, number * FRAME_MS, payload))
    return frames


def frame_name(payload: bytes) -> str:
    """Return what `make_frames` wrote into a frame; "" for anything else."""
    is_frame = payload[1:2] == b"\x01" and payload[:1] in (b"\x17", b"\x27")
    return payload[5:].decode() if is_frame else ""


async def turns(count: int = 10) -> None:
    """Let the loop turn, for what must not happen to have its chance."""
    for _ in range(count):
        await asyncio.sleep(0)
