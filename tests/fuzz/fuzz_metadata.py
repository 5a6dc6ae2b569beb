"""Data bodies are cleaned or refused; what is relayed is clean."""

from common.errors import MediaError
from common.media.metadata import DataKind, parse_data
from common.rtmp.limits import RtmpLimits

_LIMITS = RtmpLimits()


def target(data: bytes) -> None:
    """Clean ``data``, and clean the result again."""
    try:
        message = parse_data(data, _LIMITS)
    except MediaError:
        return
    if message is None or message.kind is DataKind.CLEAR:
        return
    assert len(message.payload) <= _LIMITS.max_command_bytes
    again = parse_data(message.payload, _LIMITS)
    assert again is not None
    assert again.payload == message.payload
    assert message.info.encoder.isprintable()
