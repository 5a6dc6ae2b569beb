"""A fan-out in memory: a loop that is turned by hand, and viewers whose buffers can be watched."""

import errno
import heapq
from collections import deque
from collections.abc import Callable

from common.config.model import FanoutSettings, GopSettings
from common.ids import StreamKey
from common.media.packet import Packet, Role
from common.media.recent import ResumePoint
from common.rtmp.chunk_reader import ChunkReader
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message, MessageType
from common.stream.blocks import OutputSpec
from common.stream.flusher import Flusher
from common.stream.live import LiveStream
from common.stream.viewer import Viewer, ViewerKind
from tests.support.chunks import set_chunk_size

CHUNK_SIZE = 4096

AV = OutputSpec(chunk_size=CHUNK_SIZE)
AUDIO_ONLY = OutputSpec(chunk_size=CHUNK_SIZE, video=False)
VIDEO_ONLY = OutputSpec(chunk_size=CHUNK_SIZE, audio=False)
RELAY = OutputSpec(chunk_size=CHUNK_SIZE, relay=True)

_TYPES = {
    Role.METADATA: MessageType.DATA_AMF0,
    Role.DATA: MessageType.DATA_AMF0,
    Role.VIDEO_HEADER: MessageType.VIDEO,
    Role.VIDEO_INFO: MessageType.VIDEO,
    Role.KEYFRAME: MessageType.VIDEO,
    Role.FRAME: MessageType.VIDEO,
    Role.AUDIO_HEADER: MessageType.AUDIO,
    Role.AUDIO: MessageType.AUDIO,
}


class ManualLoop:
    """The part of an event loop that the fan-out uses; time and turns come from the test."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._ready: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0

    def time(self) -> float:
        """Returns the time of the test."""
        return self.now

    def call_soon(self, callback: Callable[[], None], /) -> None:
        """Queues a call for the next turn."""
        self._ready.append(callback)

    def call_later(self, delay: float, callback: Callable[[], None], /) -> None:
        """Queues a call for a time."""
        self._serial += 1
        heapq.heappush(self._timers, (self.now + delay, self._serial, callback))

    @property
    def next_timer(self) -> float | None:
        """When the next timer is due."""
        return self._timers[0][0] if self._timers else None

    def turn(self) -> bool:
        """Makes the calls that are due now, not those that they ask for; tells whether any was."""
        while self._timers and self._timers[0][0] <= self.now:
            self._ready.append(heapq.heappop(self._timers)[2])
        due = len(self._ready)
        for _ in range(due):
            self._ready.popleft()()
        return due > 0

    def fire_early(self) -> None:
        """Makes the next timer's call now, as libuv may: its time stands still within a turn."""
        self._ready.append(heapq.heappop(self._timers)[2])
        self.turn()

    def settle(self) -> None:
        """Makes calls, and waits for timers, until nothing is left to do."""
        while self.turn() or self._timers:
            if not self._ready and self._timers:
                self.now = max(self.now, self._timers[0][0])


class FakeSink:
    """A transport with a kernel buffer of ``room`` bytes, endless when None."""

    def __init__(self) -> None:
        self.viewer: Viewer | None = None
        self.room: int | None = None
        self.unsent = 0
        self.paused = False
        self.closed = False
        self.written = bytearray()
        self.writes: list[bytes] = []
        self.seats: list[int] = []  # where in `written` each viewer begins
        self.on_write: Callable[[], None] = lambda: None

    def send(self, data: bytes) -> int:
        """Takes what the kernel has room for, as a socket does."""
        if self.closed:
            raise OSError(errno.EBADF, "closed")
        assert not self.unsent, "overtakes what is unsent"
        self.on_write()
        taken = len(data) if self.room is None else min(self.room, len(data))
        if not taken:
            raise BlockingIOError
        if self.room is not None:
            self.room -= taken
        self.written += data[:taken]
        self.writes.append(data[:taken])
        return taken

    def write(self, data: bytes | memoryview) -> None:
        """Takes what the kernel has room for, keeps the rest."""
        if self.closed:
            raise RuntimeError("closed, as uvloop says it")
        self.on_write()
        self.written += data
        self.writes.append(bytes(data))
        self.unsent += len(data)
        self._send()
        if self.unsent and not self.paused and self.viewer is not None:
            self.paused = True
            self.viewer.writing_paused()

    def get_write_buffer_size(self) -> int:
        """Returns what is kept."""
        if self.closed:
            raise RuntimeError("closed, as uvloop says it")
        return self.unsent

    def take(self, size: int) -> None:
        """Lets the peer read ``size`` bytes."""
        if self.room is not None:
            self.room += size
        self._send()
        if not self.unsent and self.paused and self.viewer is not None:
            self.paused = False
            self.viewer.writing_resumed()

    def take_all(self) -> None:
        """Lets the peer read for ever again."""
        self.room = None
        self.take(0)

    def _send(self) -> None:
        if self.room is None:
            self.unsent = 0
        else:
            sent = min(self.room, self.unsent)
            self.room -= sent
            self.unsent -= sent


class FakeOwner:
    """Keeps what the fan-out says of a viewer."""

    def __init__(self) -> None:
        self.started = 0
        self.kicked: list[str] = []
        self.ended: list[str] = []
        self.on_kick: Callable[[Viewer], None] = lambda viewer: None
        self.on_end: Callable[[Viewer], None] = lambda viewer: None

    def viewer_started(self, viewer: Viewer) -> None:
        """Counts."""
        self.started += 1

    def viewer_kicked(self, viewer: Viewer, reason: str) -> None:
        """Keeps the reason."""
        self.kicked.append(reason)
        self.on_kick(viewer)

    def viewer_ended(self, viewer: Viewer, reason: str) -> None:
        """Keeps the reason."""
        self.ended.append(reason)
        self.on_end(viewer)


class FakeViewer:
    """A viewer with its sink and owner, and the messages that were written to it."""

    def __init__(self, sink: FakeSink | None = None, kind: ViewerKind = ViewerKind.PLAYER) -> None:
        self.sink = sink or FakeSink()
        self.owner = FakeOwner()
        self.viewer = Viewer(
            self.sink, kind, self.owner, socket=self.sink, congested=self.sink.paused
        )
        self.sink.viewer = self.viewer
        self._seat = len(self.sink.seats)
        self.sink.seats.append(len(self.sink.written))

    def messages(self) -> list[Message]:
        """Returns all messages from when the viewer was made until the sink had another one."""
        begin, end = [*self.sink.seats, len(self.sink.written)][self._seat : self._seat + 2]
        reader = ChunkReader(RtmpLimits())
        reader.feed(set_chunk_size(CHUNK_SIZE))
        messages = reader.feed(bytes(self.sink.written[begin:end]))
        assert reader.unfinished_bytes == 0
        return messages

    def payloads(self) -> list[bytes]:
        """Returns their payloads."""
        return [message.payload for message in self.messages()]


class Fanout:
    """One stream of one worker."""

    def __init__(self, settings: FanoutSettings | None = None, gop: GopSettings | None = None):
        self.loop = ManualLoop()
        self.flusher = Flusher(
            settings or FanoutSettings(), self.loop, self.loop.time, self.loop.time
        )
        self.gop = gop or GopSettings()
        self.stream = self.new_stream("live/name")
        self.time_ms = 0

    def new_stream(self, key: str) -> LiveStream:
        """Returns another stream of the same worker."""
        return LiveStream(StreamKey(key), self.gop, self.flusher)

    def push(self, role: Role, payload: bytes, *, timestamp: int | None = None) -> Packet:
        """Pushes a packet, 10 ms after the last one unless told otherwise."""
        self.time_ms = self.time_ms + 10 if timestamp is None else timestamp
        type_id = int(_TYPES[role])
        packet = Packet(type_id, self.time_ms, payload, role, "avc1" if type_id == 9 else "mp4a")
        self.stream.push(packet)
        return packet

    def watch(
        self,
        spec: OutputSpec = AV,
        sink: FakeSink | None = None,
        *,
        since: ResumePoint | None = None,
    ) -> FakeViewer:
        """Lets a new viewer join, or a relay that has the stream up to ``since``."""
        watcher = FakeViewer(sink)
        self.attach(watcher, spec, since=since)
        return watcher

    def attach(
        self,
        watcher: FakeViewer,
        spec: OutputSpec = AV,
        *,
        resume: bool = False,
        since: ResumePoint | None = None,
    ) -> None:
        """Lets a viewer join, or join again."""
        self.stream.attach(watcher.viewer, spec, self.loop.now, resume=resume, since=since)

    def flush(self) -> None:
        """Writes all that is pending."""
        self.loop.settle()

    def check_lag(self) -> tuple[float, int]:
        """Minds the slow viewers; returns the longest lag and how many lag."""
        found = [output.check_lag(self.loop.now) for output in list(self.stream.outputs)]
        return max((lag for lag, _ in found), default=0.0), sum(count for _, count in found)
