"""What nodes tell each other in `connect`: an extra object that strangers ignore.

It rides in the command object under "headwater": {"v": 1, "node": id, "hops": [ids]}. The hop list
names every node that the stream has come through, the asking one last; whoever finds itself in it
would close a loop.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from common.ids import NodeId

PROPERTY: Final = "headwater"
VERSION: Final = 1
MAX_HOPS: Final = 32
MAX_ID_CHARS: Final = 160
"""Longer than any node id; a client may say anything, and what it says gets into logs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayHello:
    """Who asks for a relay, and through which nodes the stream goes on from here."""

    node: NodeId
    hops: tuple[NodeId, ...] = ()

    def to_properties(self) -> dict[str, Any]:
        """Return the connect properties that carry it."""
        return {PROPERTY: {"v": VERSION, "node": self.node, "hops": list(self.hops)}}


def parse_hello(properties: Mapping[str, Any]) -> RelayHello | None:
    """Return the hello in a client's connect properties; None for a stranger or rubbish."""
    value = properties.get(PROPERTY)
    if not isinstance(value, dict) or not _is_id(value.get("node")):
        return None
    hops = value.get("hops")
    if not isinstance(hops, list) or len(hops) > MAX_HOPS:
        return None
    if not all(_is_id(hop) for hop in hops):
        return None
    return RelayHello(node=NodeId(value["node"]), hops=tuple(NodeId(hop) for hop in hops))


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_ID_CHARS
