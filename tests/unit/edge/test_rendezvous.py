"""Rendezvous hashing: the same answer everywhere, evenly spread, little moved."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from common.ids import StreamKey
from edge.rendezvous import owner_of

streams = st.text(min_size=1, max_size=40).map(StreamKey)
slots = st.frozensets(st.integers(0, 255), min_size=1, max_size=16)


@given(streams, slots)
def test_owner_is_one_of_the_workers_whatever_their_order(
    stream: StreamKey, slots: frozenset[int]
) -> None:
    owner = owner_of(stream, slots)
    assert owner in slots
    assert owner_of(stream, sorted(slots, reverse=True)) == owner


@given(streams, slots, st.integers(0, 255))
def test_stream_moves_only_to_a_worker_that_comes_or_from_one_that_goes(
    stream: StreamKey, slots: frozenset[int], other: int
) -> None:
    before = owner_of(stream, slots)
    assert owner_of(stream, slots | {other}) in (before, other)
    if before != other and other in slots:
        assert owner_of(stream, slots - {other}) == before


def test_streams_are_spread_evenly() -> None:
    counts = Counter(owner_of(StreamKey(f"live/{number}"), range(8)) for number in range(8000))
    assert min(counts.values()) > 800
    assert max(counts.values()) < 1200


def test_owner_depends_on_the_names_alone() -> None:
    # Every worker is a process of its own, with a hash seed of its own.
    owners = [owner_of(StreamKey(f"live/{name}"), range(4)) for name in "abcdefgh"]
    assert owners == [3, 2, 0, 1, 0, 0, 2, 0]
