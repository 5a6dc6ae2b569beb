"""Commands and data messages: AMF values with a name in front [RTMP 1.0 §7.1.1, §7.1.2]."""

from dataclasses import dataclass, field
from typing import Any

from common.rtmp.limits import RtmpLimits


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
    """Return the command in a message of type 20 or 17.

    Raises AmfError when there is none in it.
    """
    raise NotImplementedError


def encode_command(name: str, transaction_id: float, *values: Any) -> bytes:
    """Return the payload of a type-20 message: name, transaction id, then ``values``.

    The first of ``values`` is the command object (None where there is none).
    """
    raise NotImplementedError


def decode_data(message_type: int, payload: bytes, limits: RtmpLimits) -> list[Any]:
    """Return the values in a message of type 18 or 15; none for an empty one.

    Raises AmfError. That is a reason to drop the message, not to close: ffmpeg sends raw timecode
    bytes as data messages, and the first value need not be a string.
    """
    raise NotImplementedError
