"""Records of the routing table as msgpack.

A record is a map with its schema version under "v" and the fields by their names. A reader
ignores names that it does not know and fills in optional ones that are missing, so a new field
needs no new version; "v" grows only when old readers would misunderstand, and then they refuse.

An announcement is an array of two: a map as above, and the epoch. It is encoded open at its end,
because for a claim only the script in Redis knows the epoch and appends it.
"""

from collections.abc import Mapping
from typing import cast

import msgpack

from common.cluster.fields import Fields
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
from common.ids import NodeId, OwnerId, StreamKey

VERSION = 1

_ARRAY_OF_TWO = b"\x92"


def encode_claim(claim: Claim) -> bytes:
    """Encode what an owner says of its stream."""
    return _pack(_claim_fields(claim))


def decode_claim(data: bytes) -> Claim:
    """Decode a claim. Raises `RecordError`."""
    return _claim(_unpack(data))


def encode_node(record: NodeRecord) -> bytes:
    """Encode what a node is."""
    return _pack({name: getattr(record, name) for name in NodeRecord.__dataclass_fields__})


def decode_node(data: bytes) -> NodeRecord:
    """Decode what a node is. Raises `RecordError`."""
    fields = _unpack(data)
    return NodeRecord(
        id=NodeId(fields.text("id")),
        role=fields.one_of(NodeRole, "role"),
        state=fields.one_of(NodeState, "state"),
        rtmp=fields.text("rtmp"),
        admin=fields.text("admin"),
        zone=fields.text("zone", ""),
        workers=fields.whole("workers", 1),
        viewers=fields.whole("viewers", 0),
        publishers=fields.whole("publishers", 0),
        streams=fields.whole("streams", 0),
        egress_bps=fields.whole("egress_bps", 0),
        cpu_share=fields.number("cpu_share", 0.0),
        relays=fields.texts("relays"),
    )


def encode_load(load: NodeLoad) -> bytes:
    """Encode what a node does for each stream."""
    streams = {
        stream: {name: getattr(one, name) for name in StreamLoad.__dataclass_fields__}
        for stream, one in load.streams.items()
    }
    return _pack({"node": load.node, "streams": streams})


def decode_load(data: bytes) -> NodeLoad:
    """Decode what a node does for each stream. Raises `RecordError`."""
    fields = _unpack(data)
    streams = fields.inner("streams")
    return NodeLoad(
        node=NodeId(fields.text("node")),
        streams={StreamKey(name): _stream_load(streams.inner(name)) for name in streams.names()},
    )


def open_announcement(
    kind: EventKind,
    *,
    stream: StreamKey | None = None,
    claim: Claim | None = None,
    node: NodeId | None = None,
) -> bytes:
    """Encode an announcement up to its epoch, which must be appended as a msgpack integer."""
    fields: dict[str, object] = {"kind": kind}
    if stream is not None:
        fields["stream"] = stream
    if claim is not None:
        fields["claim"] = _claim_fields(claim)
    if node is not None:
        fields["node"] = node
    return _ARRAY_OF_TWO + _pack(fields)


def announcement(
    kind: EventKind,
    *,
    stream: StreamKey | None = None,
    node: NodeId | None = None,
    epoch: int = 0,
) -> bytes:
    """Encode a whole announcement, of something that has no epoch or one that is known."""
    return open_announcement(kind, stream=stream, node=node) + cast("bytes", msgpack.packb(epoch))


def decode_announcement(data: bytes) -> ClusterEvent:
    """Decode what came over the channel. Raises `RecordError`."""
    match _parse(data):
        case [dict() as head, int() as epoch] if epoch >= 0:
            return _event(_record(head), epoch)
        case _:
            raise RecordError("an announcement is not a map and an epoch")


def _event(fields: Fields, epoch: int) -> ClusterEvent:
    kind = fields.one_of(EventKind, "kind")
    match kind:
        case EventKind.CLAIMED:
            claim = _claim(fields.inner("claim"))
            route = Route(claim=claim, epoch=epoch)
            return ClusterEvent(kind=kind, stream=claim.stream, epoch=epoch, route=route)
        case EventKind.RELEASED | EventKind.KICK | EventKind.SUSPECT:
            return ClusterEvent(kind=kind, stream=StreamKey(fields.text("stream")), epoch=epoch)
        case EventKind.DRAINING:
            return ClusterEvent(kind=kind, node=NodeId(fields.text("node")))
        case EventKind.AWAY | EventKind.RESYNC:
            # Said by the listener itself, of its own connection, never by another node.
            raise RecordError(f"{kind} cannot be announced")


def _claim_fields(claim: Claim) -> dict[str, object]:
    return {name: getattr(claim, name) for name in Claim.__dataclass_fields__}


def _claim(fields: Fields) -> Claim:
    return Claim(
        stream=StreamKey(fields.text("stream")),
        owner=OwnerId(fields.text("owner")),
        node=NodeId(fields.text("node")),
        address=fields.text("address"),
        started_at=fields.number("started_at"),
        client=fields.text("client", ""),
        encoder=fields.text("encoder", ""),
        codecs=fields.texts("codecs"),
    )


def _stream_load(fields: Fields) -> StreamLoad:
    return StreamLoad(
        viewers=fields.whole("viewers", 0),
        bitrate_bps=fields.whole("bitrate_bps", 0),
        codecs=fields.texts("codecs"),
        standbys=fields.whole("standbys", 0),
    )


def _pack(fields: Mapping[str, object]) -> bytes:
    # Names that encoders send (flashVer) may hold what is not text; that must not stop a claim.
    return cast("bytes", msgpack.packb({"v": VERSION, **fields}, unicode_errors="replace"))


def _unpack(data: bytes) -> Fields:
    return _record(_parse(data))


def _parse(data: bytes) -> object:
    try:
        return cast("object", msgpack.unpackb(data))
    except ValueError as error:  # msgpack's own errors and UnicodeDecodeError are ValueErrors
        raise RecordError(f"a record is not msgpack: {error}") from error


def _record(value: object) -> Fields:
    fields = Fields.of(value)
    version = fields.whole("v")
    if version > VERSION:
        raise RecordError(f"a record has version {version}; this release reads {VERSION}")
    return fields
