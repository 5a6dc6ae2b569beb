"""What a node tells its relays about where a stream comes from.

A data message "onHeadwaterSource" with {"v": 1, "session": number, "offset": number} goes before
the codec headers, and again, in order with the media, whenever the source of the stream changes.
Only relays get it; players never see it, and nobody forwards it: each node says it of itself.

``session`` names the publish session. It is drawn at random by the node where the session begins:
an epoch would not do, for a stream that is published while Redis is away has none yet and gets it
in mid-session. ``offset`` is the node's clock of the stream minus the clock of that first node, in
ms modulo 2^32. The time of the message itself is that at which the session goes on. So whoever
pulls the session again, by whatever way, knows it and finds the place to go on at.
"""

import secrets
from dataclasses import dataclass
from typing import Final

from common.errors import AmfError
from common.media.metadata import SOURCE_MESSAGE
from common.media.packet import Packet, Role
from common.rtmp import amf0
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import TIMESTAMP_MASK, MessageType

VERSION: Final = 1

MAX_SESSION: Final = (1 << 53) - 1
"""The numbers of AMF0 are doubles, exact up to here."""

MAX_BYTES: Final = 1024
"""Far more than the message has; a later version may say more."""

_BEGINNING: Final = amf0.encode(SOURCE_MESSAGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSource:
    """Where a stream comes from: ``session`` names it, ``offset_ms`` is within 32 bits."""

    session: int
    offset_ms: int = 0

    def to_packet(self, timestamp: int) -> Packet:
        """Return the message for relays; the session goes on at ``timestamp``."""
        said = {"v": VERSION, "session": self.session, "offset": self.offset_ms}
        payload = _BEGINNING + amf0.encode(said)
        return Packet(int(MessageType.DATA_AMF0), timestamp, payload, Role.DATA)


def new_source() -> StreamSource:
    """Return the name of a publish session that begins at this node."""
    return StreamSource(session=1 + secrets.randbelow(MAX_SESSION))


def is_source(payload: bytes) -> bool:
    """Tell whether the body of a data message is one of these, well-formed or not."""
    return payload.startswith(_BEGINNING)


def parse_source(payload: bytes, limits: RtmpLimits) -> StreamSource | None:
    """Return what such a body says; None where it makes no sense or is of another version."""
    if len(payload) > MAX_BYTES:
        return None
    try:
        values = amf0.decode_all(payload, limits)
    except AmfError:
        return None
    said = values[1] if len(values) > 1 else None
    if not isinstance(said, dict) or said.get("v") != VERSION:
        return None
    session = whole_number(said.get("session"), 1, MAX_SESSION)
    offset = whole_number(said.get("offset"), 0, TIMESTAMP_MASK)
    if session is None or offset is None:
        return None
    return StreamSource(session=session, offset_ms=offset)


def whole_number(value: object, least: int, most: int) -> int | None:
    """Return a number of AMF0 as an int; None for NaN, fractions and what is out of bounds."""
    if isinstance(value, float) and value.is_integer() and least <= value <= most:
        return int(value)
    return None
