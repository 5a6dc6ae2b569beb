"""The names of everything that Headwater keeps in Redis.

Each method below names one kind of key: its type, its life, who writes it and who reads it. The
keys of one stream (or of one node) share a hash tag, the part in braces, so that Redis Cluster
holds them in one slot and a script may use them together.
"""

from dataclasses import dataclass

from common.ids import NodeId, StreamKey


@dataclass(frozen=True, slots=True)
class Keys:
    """The key names of one cluster; ``prefix`` lets clusters share a database."""

    prefix: str

    def route(self, stream: StreamKey) -> str:
        """Name the hash ``{owner, node, epoch, claim}`` of a live stream.

        Life: the lease, prolonged by each renewal. Written by the origin worker that holds the
        stream (claim, renew, release); read by edges that look it up.
        """
        return f"{self.prefix}:route:{_tag(stream)}"

    def epoch(self, stream: StreamKey) -> str:
        """Name the string with the highest epoch of a stream, live or not.

        Life: a day longer than the lease, so that epochs grow even when the clock of Redis goes
        back. Written and read by the scripts on the stream only.
        """
        return f"{self.prefix}:epoch:{_tag(stream)}"

    def node(self, node: NodeId) -> str:
        """Name the hash ``{state, record}`` of a node.

        Life: the lease, written anew every few seconds by the node's supervisor. Read by
        listings and, with ``edge.zone_relay``, by edge workers.
        """
        return f"{self.prefix}:node:{_tag(node)}"

    def load(self, node: NodeId) -> str:
        """Name the string with what a node does for each stream.

        Life, writer: as the node. Read by listings only.
        """
        return f"{self.prefix}:load:{_tag(node)}"

    @property
    def events(self) -> str:
        """Name the one pub/sub channel: written by the scripts and `kick`, heard by all nodes."""
        return f"{self.prefix}:events"

    @property
    def all_routes(self) -> str:
        """Match every route key in a SCAN."""
        return f"{self.prefix}:route:*"

    @property
    def all_nodes(self) -> str:
        """Match every node key in a SCAN."""
        return f"{self.prefix}:node:*"

    @property
    def all_loads(self) -> str:
        """Match every load key in a SCAN."""
        return f"{self.prefix}:load:*"


def _tag(name: str) -> str:
    # Redis takes the text up to the first "}" as the tag and ignores an empty one, so a name that
    # starts with "}" would scatter its keys over slots. "%" is escaped to keep names distinct.
    return "{" + name.replace("%", "%25").replace("}", "%7D") + "}"
