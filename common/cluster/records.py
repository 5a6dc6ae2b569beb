"""The records of the routing table: what they hold, not how they are stored.

Every record carries a schema version when encoded (`common.cluster.codec`); a reader refuses a
newer major version and ignores fields it does not know, so that nodes of two releases can run
side by side during a rolling upgrade.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from common.ids import NodeId, OwnerId, StreamKey


class NodeRole(StrEnum):
    """What a node is."""

    ORIGIN = "origin"
    EDGE = "edge"


class NodeState(StrEnum):
    """Whether a node takes new work."""

    SERVING = "serving"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What an origin worker wants to own: everything of a route but the epoch."""

    stream: StreamKey
    owner: OwnerId
    node: NodeId
    address: str  # where edges pull from: "host:port" of the very worker
    started_at: float  # unix seconds, to show only
    client: str = ""  # the publisher's address
    encoder: str = ""  # its flashVer
    codecs: tuple[str, ...] = ()  # "avc1", "mp4a", ... as far as known


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Who holds a stream. ``epoch`` grows each time the stream changes hands: the fence."""

    claim: Claim
    epoch: int

    @property
    def stream(self) -> StreamKey:
        """The stream's key."""
        return self.claim.stream

    @property
    def address(self) -> str:
        """Where edges pull from, "host:port"."""
        return self.claim.address


class Renewal(StrEnum):
    """What became of a lease at its renewal."""

    KEPT = "kept"
    RESTORED = "restored"  # the table had lost it (flush, expiry) and has it again
    LOST = "lost"  # somebody else owns the stream now


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord:
    """A node as the cluster sees it. Written every few seconds with a TTL."""

    id: NodeId
    role: NodeRole
    state: NodeState
    rtmp: str  # "host:port" for encoders or players
    admin: str  # "host:port" of health and metrics
    zone: str = ""
    workers: int = 1
    viewers: int = 0
    publishers: int = 0
    streams: int = 0
    egress_bps: int = 0
    cpu_share: float = 0.0  # of one core, the busiest worker
    relays: tuple[str, ...] = ()
    """"host:port" of each worker, by slot, for edges of the same zone to relay from.

    "" where there is none; empty for a node that does not serve them, or is of an older release.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLoad:
    """What one node does for one stream."""

    viewers: int = 0
    bitrate_bps: int = 0  # of the stream as it comes in at this node
    codecs: tuple[str, ...] = ()
    standbys: int = 0  # publishers that wait there to take the stream over


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLoad:
    """A node's streams; a record of its own so that node listings stay small."""

    node: NodeId
    streams: dict[StreamKey, StreamLoad] = field(default_factory=dict)


class EventKind(StrEnum):
    """What happened in the cluster."""

    CLAIMED = "claimed"  # a stream came or moved: ``route`` is where it is now
    RELEASED = "released"  # its publisher left; ``epoch`` is the one that ended
    DRAINING = "draining"  # ``node`` takes no new work
    KICK = "kick"  # an operator wants ``stream``'s publisher gone
    SUSPECT = "suspect"  # an edge cannot reach the holder of ``stream`` under ``epoch``
    AWAY = "away"  # the connection to the table is lost: announcements are being missed
    RESYNC = "resync"  # there is a new one: look up what matters again


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterEvent:
    """An announcement. Which fields are set depends on ``kind``."""

    kind: EventKind
    stream: StreamKey | None = None
    epoch: int = 0
    route: Route | None = None
    node: NodeId | None = None
