"""Payloads of the protocol control and user control messages [RTMP 1.0 §5.4, §7.1.7].

Decoders return None for a body that is too short: some senders cut them, and none is worth
closing a connection for. Set Chunk Size and Abort are carried out by the chunk reader.
"""

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct

from common.rtmp.message import UserControl

_U32 = Struct(">I")
_PEER_BANDWIDTH = Struct(">IB")
_EVENT = Struct(">HI")
_BUFFER_LENGTH = Struct(">HII")


class BandwidthLimit(IntEnum):
    """The limit types of Set Peer Bandwidth."""

    HARD = 0
    SOFT = 1
    DYNAMIC = 2


@dataclass(frozen=True, slots=True)
class UserControlEvent:
    """A user control message. ``event`` may be unknown: skip it then.

    ``value`` is the stream id, or the time for pings; ``buffer_ms`` is there for SetBufferLength.
    """

    event: int
    value: int
    buffer_ms: int | None = None


def encode_u32(value: int) -> bytes:
    """Return the payload of types 1, 2, 3 and 5: one 32-bit number (higher bits are cut off)."""
    return _U32.pack(value & 0xFFFFFFFF)


def decode_u32(payload: bytes) -> int | None:
    """Return the number of types 1, 2, 3 and 5."""
    return int.from_bytes(payload[:4], "big") if len(payload) >= 4 else None


def encode_peer_bandwidth(window: int, limit: BandwidthLimit = BandwidthLimit.DYNAMIC) -> bytes:
    """Return the payload of type 6."""
    return _PEER_BANDWIDTH.pack(window, limit)


def decode_peer_bandwidth(payload: bytes) -> int | None:
    """Return the window of type 6; its limit type, which some peers leave out, changes nothing."""
    return decode_u32(payload)


def encode_user_control(event: int, value: int) -> bytes:
    """Return the payload of type 4 for an event with one number (stream id, or ping time)."""
    return _EVENT.pack(event, value)


def encode_buffer_length(stream_id: int, buffer_ms: int) -> bytes:
    """Return the payload of the SetBufferLength event of type 4."""
    return _BUFFER_LENGTH.pack(UserControl.SET_BUFFER_LENGTH, stream_id, buffer_ms)


def decode_user_control(payload: bytes) -> UserControlEvent | None:
    """Return the event of type 4."""
    if len(payload) < _EVENT.size:
        return None
    event, value = _EVENT.unpack_from(payload)
    if event == UserControl.SET_BUFFER_LENGTH and len(payload) >= _BUFFER_LENGTH.size:
        return UserControlEvent(event, value, _BUFFER_LENGTH.unpack_from(payload)[2])
    return UserControlEvent(event, value)
