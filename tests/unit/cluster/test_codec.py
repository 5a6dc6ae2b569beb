import dataclasses
from contextlib import suppress

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.cluster import codec
from common.cluster.records import (
    Claim,
    ClusterEvent,
    EventKind,
    NodeLoad,
    NodeRecord,
    NodeRole,
    NodeState,
    Route,
    StreamLoad,
)
from common.errors import RecordError
from common.ids import NodeId, StreamKey
from tests.support.cluster import STREAM, make_claim, make_load, make_node

texts = st.text(max_size=20)
wholes = st.integers(0, 2**53)
numbers = st.floats(allow_nan=False, allow_infinity=False)
codecs = st.lists(texts, max_size=3).map(tuple)
claims = st.builds(
    Claim,
    stream=texts,
    owner=texts,
    node=texts,
    address=texts,
    started_at=numbers,
    client=texts,
    encoder=texts,
    codecs=codecs,
)
nodes = st.builds(
    NodeRecord,
    id=texts,
    role=st.sampled_from(NodeRole),
    state=st.sampled_from(NodeState),
    rtmp=texts,
    admin=texts,
    zone=texts,
    workers=wholes,
    viewers=wholes,
    publishers=wholes,
    streams=wholes,
    egress_bps=wholes,
    cpu_share=numbers,
    relays=codecs,
)
loads = st.builds(
    NodeLoad,
    node=texts,
    streams=st.dictionaries(
        texts,
        st.builds(StreamLoad, viewers=wholes, bitrate_bps=wholes, codecs=codecs, standbys=wholes),
        max_size=3,
    ),
)

DECODERS = [codec.decode_claim, codec.decode_node, codec.decode_load, codec.decode_announcement]


@given(claims)
def test_a_claim_survives_the_way_through_the_table(claim: Claim) -> None:
    assert codec.decode_claim(codec.encode_claim(claim)) == claim


@given(nodes)
def test_a_node_survives_the_way_through_the_table(node: NodeRecord) -> None:
    assert codec.decode_node(codec.encode_node(node)) == node


@given(loads)
def test_a_load_survives_the_way_through_the_table(load: NodeLoad) -> None:
    assert codec.decode_load(codec.encode_load(load)) == load


@given(st.binary(max_size=64))
def test_garbage_is_refused_with_the_one_documented_error(data: bytes) -> None:
    for decode in DECODERS:
        with suppress(RecordError):
            decode(data)


def announced(opened: bytes, epoch: int) -> ClusterEvent:
    return codec.decode_announcement(opened + msgpack.packb(epoch))


def test_each_kind_of_announcement_carries_what_its_hearers_need() -> None:
    claim = make_claim()
    claimed = announced(codec.open_announcement(EventKind.CLAIMED, claim=claim), 7)
    assert claimed == ClusterEvent(
        kind=EventKind.CLAIMED, stream=STREAM, epoch=7, route=Route(claim=claim, epoch=7)
    )
    released = announced(codec.open_announcement(EventKind.RELEASED, stream=STREAM), 7)
    assert released == ClusterEvent(kind=EventKind.RELEASED, stream=STREAM, epoch=7)
    draining = codec.announcement(EventKind.DRAINING, node=NodeId("n"))
    assert codec.decode_announcement(draining) == ClusterEvent(
        kind=EventKind.DRAINING, node=NodeId("n")
    )
    kick = codec.announcement(EventKind.KICK, stream=STREAM)
    assert codec.decode_announcement(kick) == ClusterEvent(kind=EventKind.KICK, stream=STREAM)
    suspect = codec.announcement(EventKind.SUSPECT, stream=STREAM, epoch=7)
    assert codec.decode_announcement(suspect) == ClusterEvent(
        kind=EventKind.SUSPECT, stream=STREAM, epoch=7
    )


def changed(data: bytes, **changes: object) -> bytes:
    return msgpack.packb({**msgpack.unpackb(data), **changes})


def test_a_field_of_a_newer_release_is_ignored() -> None:
    data = changed(codec.encode_claim(make_claim()), colour="red", tracks=[{"id": 1}])
    assert codec.decode_claim(data) == make_claim()


def test_a_record_of_a_newer_version_is_refused() -> None:
    data = changed(codec.encode_claim(make_claim()), v=codec.VERSION + 1)
    with pytest.raises(RecordError, match="version 2; this release reads 1"):
        codec.decode_claim(data)


@pytest.mark.parametrize("name", ["client", "encoder", "codecs"])
def test_an_optional_field_may_be_missing(name: str) -> None:
    fields = msgpack.unpackb(codec.encode_claim(make_claim(codecs=("avc1",))))
    del fields[name]
    claim = codec.decode_claim(msgpack.packb(fields))
    default = next(f.default for f in dataclasses.fields(Claim) if f.name == name)
    assert getattr(claim, name) == default


def test_a_node_of_an_older_release_serves_no_relays() -> None:
    fields = msgpack.unpackb(codec.encode_node(make_node()))
    assert fields.pop("relays")
    assert codec.decode_node(msgpack.packb(fields)).relays == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"v": None},
        {"v": "1"},
        {"v": True},
        {"stream": None},
        {"owner": 5},
        {"address": b"x"},
        {"started_at": "now"},
        {"started_at": float("nan")},
        {"started_at": True},
        {"client": None},
        {"codecs": "avc1"},
        {"codecs": [1]},
    ],
    ids=str,
)
def test_a_claim_with_a_wrong_field_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(RecordError):
        codec.decode_claim(changed(codec.encode_claim(make_claim()), **changes))


@pytest.mark.parametrize(
    "changes", [{"role": "king"}, {"state": "dead"}, {"workers": -1}, {"workers": 1.5}], ids=str
)
def test_a_node_with_a_wrong_field_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(RecordError):
        codec.decode_node(changed(codec.encode_node(make_node()), **changes))


@pytest.mark.parametrize("streams", [None, [], {"a": None}, {"a": {"viewers": "x"}}], ids=str)
def test_a_load_with_wrong_streams_is_refused(streams: object) -> None:
    with pytest.raises(RecordError):
        codec.decode_load(changed(codec.encode_load(make_load()), streams=streams))


@pytest.mark.parametrize(
    "value",
    [
        {"v": 1, "kind": "kick", "stream": "a"},
        [{"v": 1, "kind": "kick", "stream": "a"}],
        [{"v": 1, "kind": "kick", "stream": "a"}, -1],
        [{"v": 1, "kind": "kick", "stream": "a"}, "1"],
        [{"v": 1, "kind": "resync"}, 0],
        [{"v": 1, "kind": "unheard of"}, 0],
        [{"v": 1, "kind": "claimed"}, 1],
        [{"v": 2, "kind": "kick", "stream": "a"}, 0],
        [1, 1],
    ],
    ids=str,
)
def test_an_announcement_that_is_not_one_is_refused(value: object) -> None:
    with pytest.raises(RecordError):
        codec.decode_announcement(msgpack.packb(value))


def test_an_encoder_name_that_is_not_text_does_not_stop_a_claim() -> None:
    claim = dataclasses.replace(make_claim(), encoder="OBS \udcff")
    assert codec.decode_claim(codec.encode_claim(claim)).encoder == "OBS ?"


def test_streams_of_a_load_without_text_names_are_left_out() -> None:
    data = msgpack.packb({"v": 1, "node": "n", "streams": {b"raw": {}, "live/a": {}}})
    assert codec.decode_load(data).streams == {StreamKey("live/a"): StreamLoad()}
