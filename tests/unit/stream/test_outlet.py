"""The short way to a viewer's socket: what it does not take goes by the transport, in order."""

import errno

import pytest

from common.media.packet import Role
from common.stream.blocks import OutputSpec
from common.stream.viewer import Viewer, ViewerKind
from tests.support.fanout import AV, CHUNK_SIZE, FakeOwner, FakeSink, FakeViewer, Fanout
from tests.support.rounds import begin, one_round


class Ways(FakeSink):
    """A sink that tells what came by the socket from what came by the transport."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[int] = []
        self.handed: list[bytes | memoryview] = []
        self.error: OSError | None = None

    def send(self, data: bytes) -> int:
        if self.error is not None:
            raise self.error
        taken = super().send(data)
        self.sent.append(taken)
        return taken

    def write(self, data: bytes | memoryview) -> None:
        self.handed.append(data)
        super().write(data)


@pytest.fixture
def fanout() -> Fanout:
    fanout = Fanout()
    fanout.push(Role.KEYFRAME, b"K1")
    fanout.flush()
    return fanout


def watch(fanout: Fanout, sink: Ways) -> FakeViewer:
    """Returns a viewer that has its start, which goes by the transport."""
    watcher = fanout.watch(sink=sink)
    assert len(sink.handed) == 1
    sink.handed.clear()
    return watcher


def push(fanout: Fanout, payload: bytes) -> None:
    fanout.push(Role.FRAME, payload)
    fanout.flush()


def test_a_viewer_that_takes_everything_is_written_to_by_its_socket_alone(fanout: Fanout) -> None:
    sink = Ways()
    watcher = watch(fanout, sink)
    push(fanout, b"F1")
    push(fanout, b"F2")
    assert (len(sink.sent), sink.handed) == (2, [])
    assert watcher.payloads() == [b"K1", b"F1", b"F2"]


@pytest.mark.parametrize("room", [0, 1, 500])
def test_what_the_socket_does_not_take_goes_by_the_transport_until_it_drains(
    fanout: Fanout, room: int
) -> None:
    sink = Ways()
    watcher = watch(fanout, sink)
    sink.room = room
    push(fanout, bytes(1000))
    push(fanout, b"F2")
    assert watcher.viewer.congested
    assert sink.sent == ([room] if room else [])
    assert len(sink.handed) == 2
    sink.take_all()
    push(fanout, b"F3")
    assert len(sink.handed) == 2
    assert watcher.payloads() == [b"K1", bytes(1000), b"F2", b"F3"]


def test_the_rests_of_slow_viewers_are_parts_of_one_block(fanout: Fanout) -> None:
    sinks = [Ways(), Ways(), Ways()]
    for room, sink in enumerate(sinks):
        watch(fanout, sink)
        sink.room = room
    push(fanout, bytes(1000))
    rests = [sink.handed[0] for sink in sinks]
    blocks = {id(rest.obj if isinstance(rest, memoryview) else rest) for rest in rests}
    assert len(blocks) == 1


@pytest.mark.parametrize("code", [errno.EPIPE, errno.ECONNRESET, errno.EBADF])
def test_a_broken_socket_is_for_the_transport_to_find_out_and_disturbs_nobody(
    fanout: Fanout, code: int
) -> None:
    broken, whole = Ways(), Ways()
    watch(fanout, broken)
    healthy = watch(fanout, whole)
    broken.error = OSError(code, "broken")
    push(fanout, b"F1")
    assert len(broken.handed) == 1
    assert healthy.payloads() == [b"K1", b"F1"]


def test_a_transport_that_is_closed_as_well_takes_no_notice(fanout: Fanout) -> None:
    sink = Ways()
    watch(fanout, sink)
    healthy = watch(fanout, Ways())
    sink.closed = True
    push(fanout, b"F1")
    assert healthy.payloads() == [b"K1", b"F1"]


def test_a_viewer_without_a_socket_is_written_to_by_its_transport(fanout: Fanout) -> None:
    sink = Ways()
    encrypted = Viewer(sink, ViewerKind.PLAYER, FakeOwner())
    sink.viewer = encrypted
    fanout.stream.attach(encrypted, AV, fanout.loop.now)
    push(fanout, b"F1")
    encrypted.writing_paused()
    encrypted.writing_resumed()
    push(fanout, b"F2")
    assert sink.sent == []
    assert len(sink.handed) == 3


def test_a_viewer_that_begins_congested_has_no_short_way_until_it_has_drained(
    fanout: Fanout,
) -> None:
    sink = Ways()
    sink.paused = True
    sink.room = 0
    sink.unsent = 10
    watcher = fanout.watch(sink=sink)
    assert watcher.viewer.outlet is None
    sink.take_all()
    assert watcher.viewer.outlet is sink


def stop_in_mid_round() -> tuple[Fanout, Ways, FakeViewer]:
    """Begins a round and leaves one viewer of it for the next slice."""
    fanout, _ = begin(16, slice_viewers=16)
    sink = Ways()
    last = fanout.watch(sink=sink)
    fanout.push(Role.FRAME, b"F1")
    fanout.loop.turn()
    assert len(last.payloads()) == 1, "a slice is left"
    return fanout, sink, last


def test_an_answer_that_congests_a_viewer_during_a_round_is_not_overtaken() -> None:
    fanout, sink, last = stop_in_mid_round()
    sink.room = 0
    sink.write(b"")
    sink.unsent = 1
    last.viewer.writing_paused()
    fanout.flush()
    assert sink.sent == []
    assert last.payloads() == [b"K1", b"F1"]


def test_who_has_left_in_the_middle_of_a_round_is_sent_nothing_more() -> None:
    fanout, sink, last = stop_in_mid_round()
    fanout.stream.detach(last.viewer)
    sink.error = OSError(errno.EBADF, "closed")
    fanout.flush()
    assert last.payloads() == [b"K1"]
    one_round(fanout)


def test_sockets_that_are_full_cost_a_round_no_more_than_their_turn() -> None:
    fanout, watchers = begin(40, slice_viewers=16)
    for watcher in watchers[::2]:
        watcher.sink.room = 3
    fanout.push(Role.FRAME, b"F1")
    fanout.flush()
    fanout.stream.attach(FakeViewer().viewer, OutputSpec(chunk_size=CHUNK_SIZE), fanout.loop.now)
    for watcher in watchers:
        watcher.sink.take_all()
    one_round(fanout)
    assert all(watcher.payloads() == [b"K1", b"F1", b"F"] for watcher in watchers)
