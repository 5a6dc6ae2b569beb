from common.cli.stream_rows import build_rows
from common.cluster.records import (
    Claim,
    NodeLoad,
    NodeRecord,
    NodeRole,
    NodeState,
    Route,
    StreamLoad,
)
from common.ids import NodeId, OwnerId, StreamKey

A, B = StreamKey("live/a"), StreamKey("live/b")


def route(stream: StreamKey, codecs: tuple[str, ...] = ()) -> Route:
    claim = Claim(
        stream=stream,
        owner=OwnerId("origin-1/0/x"),
        node=NodeId("origin-1"),
        address="10.0.0.1:20000",
        started_at=1000.0,
        client="10.9.9.9:5000",
        encoder="obs",
        codecs=codecs,
    )
    return Route(claim=claim, epoch=7)


def node(name: str, role: NodeRole, zone: str = "") -> NodeRecord:
    return NodeRecord(
        id=NodeId(name),
        role=role,
        state=NodeState.SERVING,
        rtmp=f"{name}:1935",
        admin=f"{name}:1",
        zone=zone,
    )


def load(name: str, **streams: StreamLoad) -> NodeLoad:
    return NodeLoad(
        node=NodeId(name), streams={StreamKey(f"live/{key}"): each for key, each in streams.items()}
    )


NODES = [
    node("origin-1", NodeRole.ORIGIN, zone="eu-1a"),
    node("edge-2", NodeRole.EDGE, zone="eu-1b"),
    node("edge-1", NodeRole.EDGE),
]


def test_a_row_joins_the_route_with_what_each_node_does_for_it() -> None:
    loads = [
        load(
            "origin-1", a=StreamLoad(viewers=2, bitrate_bps=2_500_000, codecs=("hvc1",), standbys=1)
        ),
        load("origin-2", a=StreamLoad(standbys=1)),
        load("edge-2", a=StreamLoad(viewers=10, bitrate_bps=2_400_000)),
        load("edge-1", a=StreamLoad(viewers=5), b=StreamLoad(viewers=99)),
    ]
    (row,) = build_rows([route(A, ("avc1", "mp4a"))], NODES, loads, now=1060.0)
    assert row.as_dict() == {
        "stream": "live/a",
        "origin": "origin-1",
        "zone": "eu-1a",
        "address": "10.0.0.1:20000",
        "publisher": "10.9.9.9:5000",
        "encoder": "obs",
        "epoch": 7,
        "age_s": 60.0,
        "standbys": 2,
        "edges": ("edge-1", "edge-2"),
        "edge_zones": ("", "eu-1b"),
        "viewers": 15,  # relays that the origin serves are no viewers
        "bitrate_bps": 2_500_000,
        "codecs": ("avc1", "mp4a"),
    }


def test_codecs_that_the_route_does_not_know_yet_come_from_the_origin() -> None:
    loads = [load("origin-1", a=StreamLoad(codecs=("av01",)))]
    (row,) = build_rows([route(A)], NODES, loads, now=1000.0)
    assert row.codecs == ("av01",)


def test_rows_are_sorted_and_listings_need_not_agree() -> None:
    loads = [load("edge-gone", a=StreamLoad(viewers=3))]
    rows = build_rows([route(B), route(A)], [], loads, now=900.0)
    assert [row.stream for row in rows] == ["live/a", "live/b"]
    assert rows[0].viewers == 0
    assert rows[0].edges == ()
    assert rows[0].age_s == 0  # a clock that is behind
