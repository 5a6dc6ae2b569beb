"""A sampled player: everything it is sent is parsed and held against what was published."""

from bisect import bisect_right
from typing import Final

from common.media.flv import classify
from common.media.packet import HEADER_ROLES, Role
from common.rtmp.message import TIMESTAMP_MASK, Message, MessageType
from tests.support.load_clip import Clip, unstamp

_MAX_ERRORS: Final = 10
_WANTED_HEADERS: Final = frozenset({Role.METADATA, Role.VIDEO_HEADER, Role.AUDIO_HEADER})


def role_of(message: Message) -> Role:
    """Return what a message is for a player."""
    if message.type_id in (MessageType.AUDIO, MessageType.VIDEO):
        return classify(message.type_id, message.payload).role
    return Role.METADATA


class Sample:
    """Checks one player's messages: complete, in order, unchanged, on time.

    ``errors`` says what was wrong, ``skips`` counts jumps forward to a keyframe, which are errors
    unless ``may_skip``. Without a ``clip`` only order and start are checked. ``chart`` is filled
    with what comes.
    """

    def __init__(
        self,
        clip: Clip | None,
        *,
        may_skip: bool = False,
        chart: "ContentMap | None" = None,
    ) -> None:
        self.errors: list[str] = []
        self.skips = 0
        self.messages = 0
        self.latencies_ms: list[float] = []
        self.last_timestamp: int | None = None  # of coded media, on the stream's clock
        self.origin_s: float | None = None  # monotonic time at which the stream's clock was 0
        self._clip = clip
        self._may_skip = may_skip
        self._chart = chart
        self._headers: set[Role] = set()
        self._last: dict[int, int] = {}
        self._next: int | None = None  # number of the message that must come
        self._offset: int | None = None  # from the clip's clock to the stream's

    def take(self, message: Message, now: float) -> None:
        """Check the next message, which came at ``now``."""
        self.messages += 1
        sent_ns, payload = unstamp(message.payload)
        role = role_of(message)
        if self._chart is not None and (self.last_timestamp is not None or role is Role.KEYFRAME):
            self._chart.add(message)
        if role in HEADER_ROLES:
            self._headers.add(role)
            return
        if self.last_timestamp is None:
            self._check_start(role)
        last = self._last.get(message.type_id, 0)
        if message.timestamp < last:
            self._fail(f"time of type {message.type_id} goes back: {last}, {message.timestamp}")
        self._last[message.type_id] = self.last_timestamp = message.timestamp
        if self._clip is not None:
            self._check_content(self._clip, message, payload, role)
        if sent_ns is not None:
            sent_s = sent_ns / 1e9
            self.latencies_ms.append((now - sent_s) * 1000)
            origin = sent_s - message.timestamp / 1000
            if self.origin_s is None or origin < self.origin_s:
                self.origin_s = origin

    def _check_start(self, role: Role) -> None:
        if role is not Role.KEYFRAME:
            self._fail(f"begins with {role.name}, not with a keyframe")
        if missing := _WANTED_HEADERS - self._headers:
            self._fail(f"begins without {', '.join(sorted(each.name for each in missing))}")

    def _check_content(self, clip: Clip, message: Message, payload: bytes, role: Role) -> None:
        if self._next is not None:
            wanted = clip.message(self._next)
            expected = (wanted.type_id, self._wire(wanted.timestamp), wanted.payload)
            if expected == (message.type_id, message.timestamp, payload):
                self._next += 1
                return
            if not (self._may_skip and role is Role.KEYFRAME):
                self._fail(
                    f"wanted message {self._next} (type {wanted.type_id} at {expected[1]}), came "
                    f"{role.name} (type {message.type_id} at {message.timestamp})"
                )
        elif role is not Role.KEYFRAME:
            return  # told already; the next keyframe finds the way back
        self._find_place(clip, message, payload)

    def _find_place(self, clip: Clip, message: Message, payload: bytes) -> None:
        """Find the place of a keyframe in the clip, to go on from it."""
        position = clip.keyframes.get(payload)
        self._next = None
        if position is None:
            self._fail(f"type {message.type_id} at {message.timestamp} is no keyframe of the clip")
            return
        if self._offset is None:
            self._offset = message.timestamp - clip.media[position].timestamp
            self._next = position + 1
            return
        since = message.timestamp - self._offset - clip.media[position].timestamp
        loops, rest = divmod(since, clip.duration_ms)
        if rest:
            self._fail(f"keyframe at {message.timestamp} is off the clock by {rest} ms")
        self.skips += 1
        self._next = loops * len(clip.media) + position + 1

    def _wire(self, timestamp: int) -> int:
        return (timestamp + (self._offset or 0)) & TIMESTAMP_MASK

    def _fail(self, what: str) -> None:
        if len(self.errors) < _MAX_ERRORS:
            self.errors.append(what)


class ContentMap:
    """Where each message of a stream stands, in bytes of its serialisation.

    All viewers of an output get the same bytes, so that a byte count since a known keyframe tells
    which content a player has, without parsing what it gets.
    """

    SLACK_BYTES: Final = 24
    """A count taken in the middle of a chunk header may be short by so much."""

    def __init__(self, chunk_size: int) -> None:
        self._chunk_size = chunk_size
        self._end = 0
        self._ends: list[int] = []
        self._timestamps: list[int] = []
        self._starts: dict[int, int] = {}

    def add(self, message: Message) -> None:
        """Append a message, in the order in which it is sent; the first must be a keyframe."""
        if role_of(message) is Role.KEYFRAME:
            self._starts[message.timestamp] = self._end
        self._end += self.wire_size(message)
        self._ends.append(self._end)
        self._timestamps.append(message.timestamp)

    def timestamp_at(self, keyframe: int, taken: int) -> int | None:
        """Return the time of the last message that ``taken`` bytes from a keyframe complete."""
        start = self._starts.get(keyframe)
        if start is None:
            return None
        index = bisect_right(self._ends, start + taken + self.SLACK_BYTES)
        return self._timestamps[index - 1] if index else None

    def wire_size(self, message: Message) -> int:
        """Return the bytes of a message in chunks."""
        length = len(message.payload)
        extended = 4 if message.timestamp >= 0xFFFFFF else 0
        further_chunks = max(length - 1, 0) // self._chunk_size
        return 12 + extended + length + further_chunks * (1 + extended)
