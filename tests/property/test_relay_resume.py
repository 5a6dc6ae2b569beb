"""A relay that is cut at any message and comes back in time: nothing is lost, nothing repeated.

Three nodes in memory: an origin, an edge that pulls from it, and one behind that may pull from
either. What is on the way at a cut is lost, as in a connection that is reset.
"""

from collections.abc import Callable
from enum import Enum, auto

from hypothesis import example, given
from hypothesis import strategies as st

from common.media.packet import Role
from common.media.recent import MIN_SECTION_MS
from common.relay.feed import RelayFeed
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message
from common.stream.source import StreamSource
from tests.support.fanout import RELAY, FakeViewer, Fanout

CUT_MS = MIN_SECTION_MS
"""However short its GOPs, a stream has so much of itself."""

_KEYFRAME = b"\x17\x01\x00\x00\x00"
_FRAME = b"\x27\x01\x00\x00\x00"
_AUDIO = b"\xaf\x01"
_VIDEO_HEADER = b"\x17\x00\x00\x00\x00"
_DATA = b"\x02\x00\x0aonTextData\x02\x00"  # and the length of the text


class Node:
    """A stream at an edge, its feed, and what a player of it gets."""

    def __init__(self) -> None:
        self.fanout = Fanout()
        self.feed = RelayFeed(self.fanout.stream, RtmpLimits())
        self.player = self.fanout.watch()
        self._relay: FakeViewer | None = None
        self._source: Fanout | None = None
        self._taken = 0

    def pull(self, source: Fanout) -> None:
        """Begin a relay, with what viewers have by now."""
        self.cut()
        self.feed.begin_relay(None)
        self._source = source
        self._relay = source.watch(RELAY, since=self.feed.point)
        self._taken = 0

    def cut(self) -> None:
        """Lose the relay, and what is on the way."""
        if self._relay is not None and self._source is not None:
            self._source.stream.detach(self._relay.viewer)
        self._relay = None

    def take(self, most: int = 1 << 30) -> None:
        """Take what the relay has brought."""
        if self._relay is None:
            return
        coming: list[Message] = self._relay.messages()[self._taken :][:most]
        self._taken += len(coming)
        self.feed.take(coming)
        self.fanout.flush()

    @property
    def got(self) -> list[int]:
        """The numbers of what the player got, in order."""
        payloads = self.player.payloads()
        return [number for each in payloads if (number := _number(each)) is not None]


def _number(payload: bytes) -> int | None:
    body, _, digits = payload.rpartition(b"#")
    return int(digits) if body else None


class Op(Enum):
    FRAME = auto()
    TWINS = auto()  # several packets of one time
    AUDIO = auto()
    DATA = auto()
    KEYFRAME = auto()
    NEW_HEADER = auto()
    FLUSH = auto()
    TAKE = auto()
    TAKE_SOME = auto()
    CUT = auto()
    CUT_BEHIND = auto()
    PULL = auto()
    PULL_BEHIND = auto()
    CROSS_BEHIND = auto()


class World:
    """The origin, the two nodes, and who of them has to be back by when."""

    def __init__(self) -> None:
        self.origin = Fanout()
        self.origin.stream.begin_session(StreamSource(session=1))
        self.edge = Node()
        self.behind = Node()
        self.sent = 0
        self.taken_at = {self.edge: 0, self.behind: 0}

    def push(self, role: Role, body: bytes, step_ms: int) -> None:
        """Send a packet; whoever would lose something then comes back before it."""
        for node in (self.edge, self.behind):
            if self.origin.time_ms + step_ms - self.taken_at[node] > CUT_MS:
                self.catch_up()
        mark = b"#%d" % self.sent
        payload = body + (bytes([len(mark)]) if role is Role.DATA else b"") + mark
        self.sent += 1
        self.origin.push(role, payload, timestamp=self.origin.time_ms + step_ms)

    def catch_up(self) -> None:
        """Let both nodes come back and take all there is."""
        self.origin.flush()
        self.edge.pull(self.origin)
        self.edge.take()
        self.behind.pull(self.edge.fanout)
        self.behind.take()
        self.taken_at = dict.fromkeys(self.taken_at, self.origin.time_ms)

    def change_header(self) -> None:
        """Send another header, and the keyframe that needs it."""
        self.push(Role.VIDEO_HEADER, _VIDEO_HEADER, 1)
        self.push(Role.KEYFRAME, _KEYFRAME, 1)

    def act(self, op: Op, some: int) -> None:
        """Do one thing."""
        acts: dict[Op, Callable[[], None]] = {
            Op.FRAME: lambda: self.push(Role.FRAME, _FRAME, 40),
            Op.TWINS: lambda: [self.push(Role.FRAME, _FRAME, 0) for _ in range(2)].clear(),
            Op.AUDIO: lambda: self.push(Role.AUDIO, _AUDIO, 7),
            Op.DATA: lambda: self.push(Role.DATA, _DATA, 0),
            Op.KEYFRAME: lambda: self.push(Role.KEYFRAME, _KEYFRAME, 40 * some),
            Op.NEW_HEADER: self.change_header,
            Op.FLUSH: self.origin.flush,
            Op.TAKE: lambda: (self.edge.take(), self.behind.take())[0],
            Op.TAKE_SOME: lambda: (self.edge.take(some), self.behind.take(some))[0],
            Op.CUT: self.edge.cut,
            Op.CUT_BEHIND: self.behind.cut,
            Op.PULL: lambda: self.edge.pull(self.origin),
            Op.PULL_BEHIND: lambda: self.behind.pull(self.edge.fanout),
            Op.CROSS_BEHIND: lambda: self.behind.pull(self.origin),
        }
        acts[op]()


OPS = st.lists(st.tuples(st.sampled_from(Op), st.integers(1, 20)), max_size=120)


@given(OPS)
@example([(Op.CUT, 1), (Op.FRAME, 1), (Op.KEYFRAME, 1), (Op.FLUSH, 1), (Op.PULL, 1)])
def test_relays_cut_at_any_message_lose_and_repeat_nothing(ops: list[tuple[Op, int]]) -> None:
    world = World()
    world.push(Role.KEYFRAME, _KEYFRAME, 40)
    world.catch_up()
    for op, some in ops:
        world.act(op, some)
    world.catch_up()
    for node in (world.edge, world.behind):
        assert node.got == list(range(world.sent))
        times = [each.timestamp for each in node.player.messages() if each.type_id != 18]
        assert times == sorted(times)
