"""Nodes of two zones in a routing table: origins in "a", edges in "b" and elsewhere."""

from common.cluster.directory import Directory
from common.cluster.records import NodeLoad, NodeRecord, NodeRole, NodeState
from common.ids import NodeId

HERE = "b"
THERE = "a"

IN_ZONE: dict[str, dict[str, object]] = {"node": {"zone": HERE}, "edge": {"zone_relay": True}}
"""Settings of an edge that shares its pulls with others of zone "b"."""


def edge_node(
    node: str,
    *relays: str,
    zone: str = HERE,
    state: NodeState = NodeState.SERVING,
    role: NodeRole = NodeRole.EDGE,
) -> NodeRecord:
    """Return the record of an edge whose workers serve relays at these addresses."""
    return NodeRecord(
        id=NodeId(node),
        role=role,
        state=state,
        rtmp=f"{node}:1935",
        admin=f"{node}:8080",
        zone=zone,
        relays=relays,
    )


def origin_node(node: str = "origin", zone: str = THERE) -> NodeRecord:
    """Return the record of an origin."""
    return edge_node(node, zone=zone, role=NodeRole.ORIGIN)


async def put_nodes(directory: Directory, *records: NodeRecord) -> None:
    """Write the nodes as they would themselves."""
    for record in records:
        await directory.put_node(record, NodeLoad(node=record.id))
