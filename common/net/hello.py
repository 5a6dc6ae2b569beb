"""What nodes tell each other in `connect`: an extra object that strangers ignore.

It rides in the command object under "headwater": {"v": 1, "node": id, "hops": [ids]}. The hop list
names every node that the stream has come through, the asking one last; whoever finds itself in it
would close a loop.

Who was cut from a stream, or asks for somebody who was, adds up to where the publish session has
come: "since": {"session", "type", "track", "time", "whole_gop"}, see `ResumePoint`. A node that
does not know it, or does not have what is missing, begins with its cached GOP as always.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from common.ids import NodeId
from common.media.flv import SEVERAL_TRACKS
from common.media.recent import ResumePoint
from common.rtmp.message import TIMESTAMP_MASK, MessageType
from common.stream.source import MAX_SESSION, whole_number

PROPERTY: Final = "headwater"
VERSION: Final = 1
MAX_HOPS: Final = 32
MAX_ID_CHARS: Final = 160
"""Longer than any node id; a client may say anything, and what it says gets into logs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayHello:
    """Who asks for a relay, through which nodes the stream goes on, and from where it is wanted."""

    node: NodeId
    hops: tuple[NodeId, ...] = ()
    since: ResumePoint | None = None

    def to_properties(self) -> dict[str, Any]:
        """Return the connect properties that carry it."""
        said: dict[str, Any] = {"v": VERSION, "node": self.node, "hops": list(self.hops)}
        if self.since is not None:
            said["since"] = {
                "session": self.since.session,
                "type": self.since.type_id,
                "track": self.since.track,
                "time": self.since.time_ms,
                "whole_gop": self.since.whole_gop,
            }
        return {PROPERTY: said}


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
    return RelayHello(
        node=NodeId(value["node"]),
        hops=tuple(NodeId(hop) for hop in hops),
        since=_parse_point(value.get("since")),
    )


def _parse_point(said: object) -> ResumePoint | None:
    """Return where the stream is wanted from; None where nothing sensible is said of it."""
    if not isinstance(said, dict):
        return None
    session = whole_number(said.get("session"), 1, MAX_SESSION)
    type_id = whole_number(said.get("type"), MessageType.AUDIO, MessageType.VIDEO)
    track = whole_number(said.get("track"), SEVERAL_TRACKS, 255)
    time_ms = whole_number(said.get("time"), 0, TIMESTAMP_MASK)
    if session is None or type_id is None or track is None or time_ms is None:
        return None
    return ResumePoint(
        session=session,
        type_id=type_id,
        track=track,
        time_ms=time_ms,
        whole_gop=said.get("whole_gop") is True,
    )


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_ID_CHARS
