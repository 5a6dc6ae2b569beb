"""Commands and data messages of all four types."""

from contextlib import suppress

from common.errors import AmfError
from common.rtmp.command import decode_command, decode_data, encode_command
from common.rtmp.limits import RtmpLimits

_LIMITS = RtmpLimits()


def target(data: bytes) -> None:
    """Read ``data`` as each of the types; a command can be sent again."""
    for message_type in (15, 18):
        with suppress(AmfError):
            decode_data(message_type, data, _LIMITS)
    for message_type in (17, 20):
        with suppress(AmfError):
            command = decode_command(message_type, data, _LIMITS)
            encode_command(
                command.name, command.transaction_id, command.command_object, *command.arguments
            )
