"""A publish session over many ways: whatever becomes of them, viewers get each packet once."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from common.media.packet import Role
from common.media.relay_timeline import RelayTimeline
from common.media.timeline import FRAME_MS

WRAP = 1 << 32


@dataclass(frozen=True)
class Sent:
    """A packet of a session as the origin sends it."""

    index: int
    time: int
    type_id: int
    role: Role
    track: int

    @property
    def payload(self) -> bytes:
        return b"%d" % self.index


KINDS = st.sampled_from(
    [
        (9, Role.KEYFRAME, 0),
        (9, Role.FRAME, 0),
        (9, Role.FRAME, 0),
        (8, Role.AUDIO, 0),
        (8, Role.AUDIO, 1),
        (18, Role.DATA, 0),
    ]
)
STEPS = st.lists(st.tuples(st.sampled_from([0, 0, 1, 23, 40, 300]), KINDS), max_size=40)
OFFSETS = st.integers(0, WRAP - 1) | st.integers(0, 20_000) | st.integers(WRAP - 20_000, WRAP - 1)


@st.composite
def published(draw: st.DrawFn) -> list[Sent]:
    time = draw(st.integers(0, 20_000) | st.integers(WRAP - 5_000, WRAP + 5_000))
    sent = [Sent(0, time, 9, Role.KEYFRAME, 0)]
    for index, (step, (type_id, role, track)) in enumerate(draw(STEPS), start=1):
        # A GOP begins later than all before it: else no cache could tell where it began.
        time += max(step, 1) if role is Role.KEYFRAME else step
        sent.append(Sent(index, time, type_id, role, track))
    return sent


@dataclass(frozen=True)
class Way:
    """One pull: it begins with the GOP that its source had cached, and is cut somewhere."""

    offset: int
    packets: list[Sent]


@st.composite
def ways(draw: st.DrawFn, sent: list[Sent]) -> list[Way]:
    """Draw ways by which the session comes; some are behind others, some end in their cache."""
    keyframes = [each.index for each in sent if each.role is Role.KEYFRAME]
    drawn = []
    for _ in range(draw(st.integers(1, 6))):
        begin = draw(st.sampled_from(keyframes))
        end = draw(st.integers(begin + 1, len(sent)))
        drawn.append(Way(draw(OFFSETS), sent[begin:end]))
    return drawn


class Edge:
    """A timeline, and what it lets through of the session in use."""

    def __init__(self) -> None:
        self.timeline = RelayTimeline()
        self.given: list[tuple[Sent, int]] = []

    def pull(self, session: int, offset: int, way: list[Sent]) -> bool:
        """Take a way's packets; return whether the session went on."""
        first = (way[0].time + offset) % WRAP
        start = self.timeline.begin_source(session, offset, first)
        if start is not None:
            self.given = []
        for each in way:
            wire = (each.time + offset) % WRAP
            out = self.timeline.stamp(each.type_id, wire, each.role, each.track, each.payload)
            if out is not None:
                self.given.append((each, out))
        return start is None

    @property
    def indexes(self) -> list[int]:
        return [each.index for each, _ in self.given]


@given(st.data())
def test_a_session_over_any_ways_is_in_order_without_repeats_and_at_one_offset(
    data: st.DataObject,
) -> None:
    edge = Edge()
    last_out = 0
    for session in range(1, data.draw(st.integers(1, 3)) + 1):
        sent = data.draw(published())
        had: list[int] = []
        for way in data.draw(ways(sent)):
            assert edge.pull(session, way.offset, way.packets) == bool(had)
            # Nothing comes twice or out of order, and nothing is lost that this way has.
            news = [each.index for each in way.packets if not had or each.index > had[-1]]
            had += news
            assert edge.indexes == had
        moved = {out - each.time for each, out in edge.given}
        assert len(moved) == 1
        assert moved.pop() % WRAP == edge.timeline.offset
        coded = [out for each, out in edge.given if each.role is not Role.DATA]
        assert session == 1 or coded[0] == last_out + FRAME_MS
        last_out = coded[-1]


@given(st.data())
def test_what_an_edge_says_of_itself_leads_the_next_one_to_the_same_times(
    data: st.DataObject,
) -> None:
    """Behind an edge is another: it may be fed by the first, or by the origin, in any order."""
    sent = data.draw(published())
    first, second = Edge(), Edge()
    first.pull(1, 0, data.draw(published()))  # a session before, so that its clock is moved
    first.pull(2, data.draw(OFFSETS), sent)
    offset = first.timeline.offset
    forwarded = [
        Sent(each.index, (out - offset) % WRAP, each.type_id, each.role, each.track)
        for each, out in first.given
    ]
    assert [each.time for each in forwarded] == [each.time % WRAP for each in sent]
    cut = data.draw(st.integers(1, len(sent)))
    second.pull(2, 0, sent[:cut])
    assert second.pull(2, offset, forwarded)
    assert second.indexes == [each.index for each in sent]
    assert len({(out - each.time) % WRAP for each, out in second.given}) == 1
