"""Clocks: whatever a source sends, viewers never see time go back; what makes sense is kept."""

from hypothesis import given
from hypothesis import strategies as st

from common.media.packet import Role
from common.media.relay_timeline import RelayTimeline
from common.media.timeline import Timeline

WRAP = 1 << 32
WIRES = st.integers(0, WRAP - 1) | st.integers(0, 20_000) | st.integers(WRAP - 20_000, WRAP - 1)
TRACKS = st.sampled_from([(9, Role.FRAME, 0), (8, Role.AUDIO, 0), (9, Role.KEYFRAME, 1)])
OTHERS = st.sampled_from(
    [
        (9, Role.VIDEO_HEADER, 0),
        (8, Role.AUDIO_HEADER, 0),
        (18, Role.METADATA, 0),
        (18, Role.DATA, 0),
    ]
)


@given(st.lists(st.tuples(WIRES, TRACKS | OTHERS) | st.none(), max_size=60))
def test_no_track_of_a_publisher_goes_back(
    steps: list[tuple[int, tuple[int, Role, int]] | None],
) -> None:
    timeline = Timeline()
    last: dict[tuple[int, int], int] = {}
    floor = 0
    for step in steps:
        if step is None:
            timeline.begin_session()
            floor = max(last.values(), default=0)
            continue
        wire, (type_id, role, track) = step
        out = timeline.stamp(type_id, wire, role, track)
        assert out >= floor
        if role in (Role.KEYFRAME, Role.FRAME, Role.AUDIO):
            assert out >= last.get((type_id, track), 0)
            last[type_id, track] = out
            assert timeline.last_out == max(timeline.last_out, out)


GAPS = st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 500), st.booleans()), max_size=60)


@given(WIRES, GAPS)
def test_one_sane_clock_is_moved_by_one_offset(
    first: int, gaps: list[tuple[int, int, bool]]
) -> None:
    timeline = Timeline()
    relay = RelayTimeline()
    assert timeline.stamp(9, first, Role.KEYFRAME) == 0
    assert relay.stamp(9, first, Role.KEYFRAME) == first
    clock = 0
    last = {8: 0, 9: 0}
    for gap, ahead, is_audio in gaps:
        clock += gap
        type_id = 8 if is_audio else 9
        at = max(clock + ahead * is_audio, last[type_id])  # audio comes early, as on mobiles
        last[type_id] = at
        role = Role.AUDIO if is_audio else Role.FRAME
        assert timeline.stamp(type_id, (first + at) % WRAP, role) == at
        assert relay.stamp(type_id, (first + at) % WRAP, role) == first + at
    assert timeline.jumps == 0


@given(st.lists(st.tuples(WIRES, TRACKS | OTHERS) | st.booleans(), max_size=60))
def test_no_track_of_a_relay_goes_back(
    steps: list[tuple[int, tuple[int, Role, int]] | bool],
) -> None:
    timeline = RelayTimeline()
    last: dict[tuple[int, int], int] = {}
    for step in steps:
        if isinstance(step, bool):
            timeline.begin_session(continues=step)
            continue
        wire, (type_id, role, track) = step
        out = timeline.stamp(type_id, wire, role, track)
        if out is not None and role in (Role.KEYFRAME, Role.FRAME, Role.AUDIO):
            assert out >= last.get((type_id, track), 0)
            last[type_id, track] = out


@given(st.integers(0, WRAP - 1), st.integers(1, 50), st.integers(0, 50), st.integers(0, 20))
def test_a_stream_pulled_again_is_whole(first: int, before: int, back: int, after: int) -> None:
    """Whatever a second pull repeats, viewers get every frame once."""
    timeline = RelayTimeline()
    frames = [first + 40 * number for number in range(before + after)]
    given_out = [timeline.stamp(9, at % WRAP, Role.FRAME) for at in frames[:before]]
    timeline.begin_session(continues=True)
    repeated = frames[max(0, before - back) :]
    given_out += [timeline.stamp(9, at % WRAP, Role.FRAME) for at in repeated]
    assert [each for each in given_out if each is not None] == frames
