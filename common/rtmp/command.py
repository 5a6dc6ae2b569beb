"""Commands and data messages: AMF values with a name in front [RTMP 1.0 §7.1.1, §7.1.2]."""

from dataclasses import dataclass, field
from typing import Any

from common.errors import AmfError
from common.rtmp import amf0
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import MessageType


@dataclass(slots=True)
class Command:
    """One command. ``command_object`` may be of any type: clients put null, objects, text there.

    Missing arguments are simply not in ``arguments``.
    """

    name: str
    transaction_id: float
    command_object: Any = None
    arguments: list[Any] = field(default_factory=list)


def decode_command(message_type: int, payload: bytes, limits: RtmpLimits) -> Command:
    """Return the command in a message of type 20 or 17. A missing transaction id is 0.

    Raises AmfError when there is none in it.
    """
    values = _decode(message_type, payload, limits)
    if not values or not isinstance(values[0], str):
        raise AmfError("command_without_name", "a command must begin with a string")
    name, transaction_id, command_object = [*values, None, None][:3]
    if isinstance(transaction_id, bool) or not isinstance(transaction_id, int | float):
        transaction_id = 0.0
    return Command(name, float(transaction_id), command_object, values[3:])


def encode_command(name: str, transaction_id: float, *values: Any) -> bytes:
    """Return the payload of a type-20 message: name, transaction id, then ``values``.

    The first of ``values`` is the command object (None where there is none).
    """
    return amf0.encode(name, transaction_id, *values)


def decode_data(message_type: int, payload: bytes, limits: RtmpLimits) -> list[Any]:
    """Return the values in a message of type 18 or 15; none for an empty one.

    Raises AmfError. That is a reason to drop the message, not to close: ffmpeg sends raw timecode
    bytes as data messages, and the first value need not be a string.
    """
    return _decode(message_type, payload, limits)


def _decode(message_type: int, payload: bytes, limits: RtmpLimits) -> list[Any]:
    # The AMF3 types are AMF0 behind a zero byte, which some senders leave out [E-RTMP v2];
    # no AMF0 value that a message may begin with starts with one.
    amf3 = message_type in (MessageType.COMMAND_AMF3, MessageType.DATA_AMF3)
    if amf3 and payload[:1] == b"\x00":
        payload = payload[1:]
    return amf0.decode_all(payload, limits)
