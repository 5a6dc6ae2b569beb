"""Values of the routing table for tests."""

from common.cluster.records import Claim, NodeLoad, NodeRecord, NodeRole, NodeState, StreamLoad
from common.ids import NodeId, OwnerId, StreamKey

STREAM = StreamKey("live/show")


def make_claim(
    stream: str = STREAM, *, owner: str = "origin-1/0/aa", codecs: tuple[str, ...] = ()
) -> Claim:
    """Make a claim whose node is the first part of its owner."""
    node = owner.partition("/")[0]
    return Claim(
        stream=StreamKey(stream),
        owner=OwnerId(owner),
        node=NodeId(node),
        address=f"{node}:19350",
        started_at=1_700_000_000.5,
        client="192.0.2.1:50000",
        encoder="OBS Studio",
        codecs=codecs,
    )


def make_node(node: str = "origin-1", state: NodeState = NodeState.SERVING) -> NodeRecord:
    """Make a node's record."""
    return NodeRecord(
        id=NodeId(node),
        role=NodeRole.ORIGIN,
        state=state,
        rtmp=f"{node}:1935",
        admin=f"{node}:8080",
        zone="a",
        workers=3,
        viewers=2,
        publishers=1,
        streams=1,
        egress_bps=5_000_000,
        cpu_share=0.25,
        relays=(f"{node}:19350", "", f"{node}:19352"),
    )


def make_load(node: str = "origin-1", viewers: int = 2) -> NodeLoad:
    """Make a node's load: one stream."""
    stream_load = StreamLoad(viewers=viewers, bitrate_bps=2_500_000, codecs=("avc1", "mp4a"))
    return NodeLoad(node=NodeId(node), streams={STREAM: stream_load})
