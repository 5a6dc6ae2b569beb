"""Whatever viewers, streams and rounds do, and in whatever order: what each viewer gets is whole.

Each run makes a history of packets, and each viewer a list of what was written to it. The rules:

* it begins with headers, and then at a keyframe (or, where there is no picture, at any audio);
* from there on it is the history, packet by packet: nothing twice, nothing in another order;
* a gap ends at a keyframe, and only a viewer that was slow, paused or new has one;
* each video packet comes after the video header that it was made with, audio likewise;
* a viewer that has left or paused is not written to, and who reads all has all;
* what is kept is bounded, however slow viewers are.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from common.config.model import FanoutSettings, GopSettings
from common.media.packet import Role
from common.rtmp.message import MessageType
from common.stream.blocks import OutputSpec
from tests.support.fanout import (
    AUDIO_ONLY,
    AV,
    RELAY,
    VIDEO_ONLY,
    FakeSink,
    FakeViewer,
    Fanout,
)

NO_VIDEO_AFTER = 3
VIDEO_LOST_AFTER = 6
LAG_LIMIT_BYTES = 400
ENTRIES = (Role.KEYFRAME, Role.AUDIO)
MEDIA = (Role.KEYFRAME, Role.FRAME, Role.AUDIO, Role.DATA)


@dataclass
class Sent:
    """A media packet of the history and what a decoder needs for it."""

    role: Role
    payload: bytes
    video_header: bytes | None
    audio_header: bytes | None
    had_video: bool


@dataclass
class Seat:
    """A viewer, and since where in the history it may not miss anything."""

    watcher: FakeViewer
    spec: OutputSpec
    joined_at: int
    stalled: bool = False
    gaps_allowed: int = 0
    here: bool = True
    paused: bool = False
    messages_at_rest: int = 0  # when it left or paused


class Room:
    """A stream, its history, and its viewers."""

    def __init__(self, slice_viewers: int) -> None:
        self.fanout = Fanout(
            FanoutSettings.model_construct(
                slice_viewers=slice_viewers,
                lag_limit_bytes=LAG_LIMIT_BYTES,
                lag_limit_ms=3000.0,
                kick_after_s=5.0,
            ),
            GopSettings(max_packets=20),
        )
        # Video shall count as lost after a few packets.
        self.fanout.stream.gop.no_video_after = NO_VIDEO_AFTER
        self.fanout.stream.gop.video_lost_after = VIDEO_LOST_AFTER
        self.history: list[Sent] = []
        self.everyone: list[Seat] = []
        self.serial = 0
        self.awaits_keyframe = True
        self.has_video = False
        self.audio_run = 0
        self.video_header: bytes | None = None
        self.audio_header: bytes | None = None

    def close(self) -> None:
        """Lets all viewers read to the end, and looks whether they have it."""
        for seat in self.everyone:
            seat.watcher.sink.take_all()
        self.push_media(Role.KEYFRAME)
        self.fanout.flush()
        self.push_media(Role.AUDIO)
        self.fanout.flush()
        for seat in self.everyone:
            self.check(seat, to_the_end=self.is_here(seat) and not seat.paused)
        remaining = [seat for seat in self.everyone if seat.here]
        assert len(self.fanout.stream.viewers) == len(remaining)
        self.fanout.stream.end("over")
        assert all(seat.watcher.owner.ended == ["over"] for seat in remaining)

    # Packets

    def push_media(self, role: Role) -> None:
        """Media; the model says what the stream lets through."""
        self.serial += 1
        payload = b"%c%06d" % (ord(role.name[0]), self.serial) + bytes(self.serial % 60)
        self.fanout.push(role, payload)
        if role is Role.KEYFRAME:
            self.awaits_keyframe = False
        if role is Role.FRAME:
            lost = not self.has_video and self.audio_run >= NO_VIDEO_AFTER
            if self.awaits_keyframe or lost:
                return
        if role in (Role.KEYFRAME, Role.FRAME):
            self.has_video = True
            self.audio_run = 0
        elif role is Role.AUDIO:
            self.audio_run += 1
            if self.audio_run >= VIDEO_LOST_AFTER:
                self.has_video = False
        self.history.append(
            Sent(role, payload, self.video_header, self.audio_header, self.fanout.stream.has_video)
        )

    def push_a_run_of_audio(self) -> None:
        """The camera is off for a while."""
        for _ in range(VIDEO_LOST_AFTER):
            self.push_media(Role.AUDIO)

    def push_video_header(self, number: int) -> None:
        """A header, the same again or another; a keyframe follows another one."""
        header = b"VH%d" % number
        changed = header != self.video_header
        self.video_header = header
        self.fanout.push(Role.VIDEO_HEADER, header)
        if changed:
            self.push_media(Role.KEYFRAME)

    def push_audio_header(self, number: int) -> None:
        """A header, the same again or another."""
        self.audio_header = b"AH%d" % number
        self.fanout.push(Role.AUDIO_HEADER, self.audio_header)

    def push_metadata(self, number: int) -> None:
        """Metadata, the same again or another."""
        self.fanout.push(Role.METADATA, b"META%d" % number)

    def begin_session(self) -> None:
        """Another source."""
        self.fanout.stream.begin_session()
        self.awaits_keyframe = True
        self.has_video = False
        self.audio_run = 0
        self.video_header = self.audio_header = None

    # Rounds and time

    def turn(self) -> None:
        """A turn of the loop: a slice of a round, perhaps."""
        self.fanout.loop.turn()

    def flush(self) -> None:
        """All that is due."""
        self.fanout.flush()

    def wait(self, seconds: float) -> None:
        """Time goes by, and slow viewers are minded."""
        self.fanout.loop.now += seconds
        self.fanout.check_lag()

    # Viewers

    def sit(self, spec: OutputSpec, sink: FakeSink | None = None) -> None:
        """Lets a viewer join."""
        watcher = FakeViewer(sink)
        watcher.owner.on_kick = self.fanout.stream.detach
        seat = Seat(watcher, spec, len(self.history))
        seat.stalled = watcher.sink.room is not None
        self.everyone.append(seat)
        self.fanout.attach(watcher, spec)

    def play_again(self, seat: Seat) -> None:
        """The same connection leaves and plays again, at once."""
        self.leave(seat)
        self.sit(seat.spec, seat.watcher.sink)

    def leave(self, seat: Seat) -> None:
        """A viewer goes."""
        self.fanout.stream.detach(seat.watcher.viewer)
        seat.here = False
        self.freeze(seat)

    def pause(self, seat: Seat) -> None:
        """A viewer pauses."""
        if not seat.paused:
            seat.paused = True
            self.fanout.stream.suspend(seat.watcher.viewer)
            self.freeze(seat)

    def resume(self, seat: Seat) -> None:
        """A viewer goes on."""
        if seat.paused:
            seat.paused = False
            seat.gaps_allowed += 1
            seat.watcher.viewer.header_version = -1
            self.fanout.attach(seat.watcher, seat.spec, resume=True)

    def stall(self, seat: Seat, room: int) -> None:
        """A viewer stops reading."""
        seat.stalled = True
        seat.watcher.sink.room = room

    def drain(self, seat: Seat, size: int | None) -> None:
        """A viewer reads a little, or all."""
        if size is None:
            seat.watcher.sink.take_all()
        else:
            seat.watcher.sink.take(size)

    def is_here(self, seat: Seat) -> bool:
        """Tells whether a viewer has neither left nor been kicked."""
        if seat.here and seat.watcher.owner.kicked:
            seat.here = False
            self.freeze(seat)
        return seat.here

    def freeze(self, seat: Seat) -> None:
        """Notes what a viewer has been written when it left or paused."""
        seat.messages_at_rest = len(seat.watcher.messages())

    # What must hold

    def check_all(self) -> None:
        """Checks what came so far, and that what is kept is bounded."""
        for seat in self.everyone:
            if self.is_here(seat):
                self.check(seat, to_the_end=False)
                sink = seat.watcher.sink
                largest = max(map(len, sink.writes), default=0)
                beyond = seat.watcher.viewer.beyond_flushes
                assert sink.unsent <= LAG_LIMIT_BYTES + beyond + largest

    def check(self, seat: Seat, *, to_the_end: bool) -> None:
        """Checks one viewer against the history."""
        if seat.paused or not seat.here:
            assert len(seat.watcher.messages()) == seat.messages_at_rest
        got = list(self.placed(seat))
        wanted = [at for at, sent in enumerate(self.history) if wants(seat.spec, sent)]
        rank = {at: number for number, at in enumerate(wanted)}
        assert all(at in rank for at in got)
        ranks = [rank[at] for at in got]
        assert ranks == sorted(set(ranks)), "twice, or in another order"
        previous: int | None = None
        gaps = 0
        for at in got:
            if previous is None or rank[at] != rank[previous] + 1:
                gaps += previous is not None
                self.check_entry(seat, at)
            previous = at
        if not seat.stalled:
            assert gaps <= seat.gaps_allowed, "only the slow and the paused miss anything"
        if to_the_end:
            assert got[-1:] == wanted[-1:], "who reads all has all"

    def check_entry(self, seat: Seat, at: int) -> None:
        """A viewer may start here: at a picture, or where none is to be expected."""
        sent = self.history[at]
        assert sent.role in ENTRIES
        if sent.role is Role.AUDIO and seat.spec.video:
            assert not sent.had_video

    def placed(self, seat: Seat) -> Iterator[int]:
        """Yields where in the history each media message stands; checks headers on the way."""
        index = {sent.payload: at for at, sent in enumerate(self.history)}
        headers: dict[int, bytes] = {}
        for message in seat.watcher.messages():
            payload = message.payload
            if payload[1:2] == b"H":
                headers[message.type_id] = payload
            elif not payload.startswith(b"META"):
                at = index[payload]
                sent = self.history[at]
                if sent.role in (Role.KEYFRAME, Role.FRAME) and sent.video_header:
                    assert headers.get(MessageType.VIDEO) == sent.video_header
                if sent.role is Role.AUDIO and sent.audio_header:
                    assert headers.get(MessageType.AUDIO) == sent.audio_header
                yield at


def wants(spec: OutputSpec, sent: Sent) -> bool:
    """Tells whether a packet is for viewers of ``spec``."""
    if sent.role is Role.AUDIO:
        return spec.audio
    return spec.video or sent.role is Role.DATA


ACTIONS: list[Callable[[Room, Seat], None]] = [
    *[lambda room, seat: room.push_media(Role.KEYFRAME)] * 4,
    *[lambda room, seat: room.push_media(Role.FRAME)] * 5,
    *[lambda room, seat: room.push_media(Role.AUDIO)] * 4,
    lambda room, seat: room.push_media(Role.DATA),
    lambda room, seat: room.push_a_run_of_audio(),
    lambda room, seat: room.push_video_header(1),
    lambda room, seat: room.push_video_header(2),
    lambda room, seat: room.push_audio_header(1),
    lambda room, seat: room.push_audio_header(2),
    lambda room, seat: room.push_metadata(1),
    lambda room, seat: room.push_metadata(2),
    lambda room, seat: room.begin_session(),
    *[lambda room, seat: room.turn()] * 4,
    *[lambda room, seat: room.flush()] * 4,
    lambda room, seat: room.wait(0.2),
    lambda room, seat: room.wait(2.0),
    lambda room, seat: room.wait(6.0),
    *[lambda room, seat: room.sit(AV)] * 2,
    lambda room, seat: room.sit(AUDIO_ONLY),
    lambda room, seat: room.sit(VIDEO_ONLY),
    lambda room, seat: room.sit(RELAY),
    *[Room.play_again] * 2,
    Room.leave,
    *[Room.pause] * 2,
    *[Room.resume] * 2,
    lambda room, seat: room.stall(seat, 0),
    lambda room, seat: room.stall(seat, 100),
    lambda room, seat: room.drain(seat, 50),
    lambda room, seat: room.drain(seat, 500),
    *[lambda room, seat: room.drain(seat, None)] * 2,
]
"""What may happen, more or less often; ``seat`` is any viewer that is here."""

STEPS = st.lists(
    st.tuples(st.integers(0, len(ACTIONS) - 1), st.integers(0, 3)), min_size=40, max_size=80
)


@settings(max_examples=200, deadline=None)
@given(slice_viewers=st.sampled_from([1, 2, 512]), steps=STEPS)
def test_every_viewer_gets_a_whole_stream(slice_viewers: int, steps: list[tuple[int, int]]) -> None:
    room = Room(slice_viewers)
    for _ in range(3):
        room.sit(AV)
    for action, number in steps:
        here = [seat for seat in room.everyone if room.is_here(seat)]
        if not here:
            room.sit(AV)
            here = room.everyone[-1:]
        ACTIONS[action](room, here[-1 - number % len(here)])
        room.check_all()
    room.close()
