"""The live streams of a cluster, joined from the three listings of the routing table."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from common.cluster.records import NodeLoad, NodeRecord, NodeRole, Route, StreamLoad
from common.ids import NodeId, StreamKey


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRow:
    """One live stream: where it comes from, who serves it, what it is."""

    stream: StreamKey
    origin: NodeId
    zone: str  # of the origin, where it is known
    address: str  # of the origin worker, for relays
    publisher: str  # the encoder's address
    encoder: str
    epoch: int
    age_s: float  # by the clock of the host that asks: a hint, not a measurement
    standbys: int  # publishers that wait to take the stream over
    edges: tuple[NodeId, ...]
    edge_zones: tuple[str, ...]  # of each of them
    viewers: int
    bitrate_bps: int
    codecs: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Return the row for JSON; the names are part of the command's interface."""
        return asdict(self)


def build_rows(
    routes: Iterable[Route],
    nodes: Iterable[NodeRecord],
    loads: Iterable[NodeLoad],
    now: float,
) -> list[StreamRow]:
    """Return a row for each route, by stream key.

    The three listings are read one after the other and need not agree: a node that is missing
    in one of them counts as not serving. ``now`` is unix seconds.
    """
    known = {node.id: node for node in nodes}
    by_stream: dict[StreamKey, dict[NodeId, StreamLoad]] = {}
    for load in loads:
        for stream, stream_load in load.streams.items():
            by_stream.setdefault(stream, {})[load.node] = stream_load
    rows = [_row(route, known, by_stream.get(route.stream, {}), now) for route in routes]
    return sorted(rows, key=lambda row: row.stream)


def _row(
    route: Route, nodes: Mapping[NodeId, NodeRecord], loads: Mapping[NodeId, StreamLoad], now: float
) -> StreamRow:
    claim = route.claim
    at_origin = loads.get(claim.node, StreamLoad())
    origin = nodes.get(claim.node)
    edges = sorted(
        (node for name in loads if (node := nodes.get(name)) and node.role is NodeRole.EDGE),
        key=lambda node: node.id,
    )
    return StreamRow(
        stream=claim.stream,
        origin=claim.node,
        zone=origin.zone if origin else "",
        address=claim.address,
        publisher=claim.client,
        encoder=claim.encoder,
        epoch=route.epoch,
        age_s=round(max(0.0, now - claim.started_at), 1),
        standbys=sum(load.standbys for load in loads.values()),
        edges=tuple(node.id for node in edges),
        edge_zones=tuple(node.zone for node in edges),
        viewers=sum(loads[node.id].viewers for node in edges),
        bitrate_bps=at_origin.bitrate_bps,
        codecs=claim.codecs or at_origin.codecs,
    )
