"""AMF0 and AMF3: what is accepted keeps to the limits and can be sent again."""

from typing import Any

from common.errors import AmfError
from common.rtmp import amf0
from common.rtmp.limits import RtmpLimits

_LIMITS = RtmpLimits(max_amf_nodes=256, max_amf_string_bytes=1024, max_command_bytes=8192)


def _count(values: list[Any], depth: int = 0) -> int:
    """Return the number of values as a tree; AMF3 dates and byte arrays are levels, too."""
    assert depth <= _LIMITS.max_amf_depth
    total = 0
    for value in values:
        total += 1
        if isinstance(value, dict):
            total += _count(list(value.values()), depth + 1)
        elif isinstance(value, list):
            total += _count(value, depth + 1)
    return total


def target(data: bytes) -> None:
    """Decode, measure, encode, decode and encode again."""
    try:
        values = amf0.decode_all(data, _LIMITS)
    except AmfError:
        return
    assert _count(values) <= _LIMITS.max_amf_nodes
    again = amf0.encode(*values)
    assert len(again) < 13 * _LIMITS.max_amf_nodes + _LIMITS.max_command_bytes
    assert amf0.encode(*amf0.decode_all(again, RtmpLimits())) == again
