"""A sampled player: everything it is sent is parsed and held against what was published."""

from typing import Final

from common.media.flv import classify
from common.media.packet import HEADER_ROLES, Role
from common.rtmp.message import TIMESTAMP_MASK, Message, MessageType

from ..clip import Clip
from ..stamp import unstamp

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
    unless ``may_skip``. Without a ``clip`` only order and start are checked.
    """

    def __init__(self, clip: Clip | None, *, may_skip: bool = False) -> None:
        self.errors: list[str] = []
        self.skips = 0
        self.messages = 0
        self.latencies_ms: list[float] = []
        self._started = False
        self._clip = clip
        self._may_skip = may_skip
        self._headers: set[Role] = set()
        self._last: dict[int, int] = {}
        self._next: int | None = None  # number of the message that must come
        self._offset: int | None = None  # from the clip's clock to the stream's

    def take(self, message: Message, now: float) -> None:
        """Check the next message, which came at ``now``."""
        self.messages += 1
        sent_ns, payload = unstamp(message.payload)
        role = role_of(message)
        if role in HEADER_ROLES:
            self._headers.add(role)
            return
        if not self._started:
            self._started = True
            self._check_start(role)
        last = self._last.get(message.type_id, 0)
        if message.timestamp < last:
            self._fail(f"time of type {message.type_id} goes back: {last}, {message.timestamp}")
        self._last[message.type_id] = message.timestamp
        if self._clip is not None:
            self._check_content(self._clip, message, payload, role)
        if sent_ns is not None:
            self.latencies_ms.append((now - sent_ns / 1e9) * 1000)

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
