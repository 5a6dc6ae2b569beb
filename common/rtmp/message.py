"""RTMP messages as they leave the chunk layer [RTMP 1.0 §5.4, §6.2, §7.1]."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final


class MessageType(IntEnum):
    """Message type ids."""

    SET_CHUNK_SIZE = 1
    ABORT = 2
    ACKNOWLEDGEMENT = 3
    USER_CONTROL = 4
    WINDOW_ACK_SIZE = 5
    SET_PEER_BANDWIDTH = 6
    AUDIO = 8
    VIDEO = 9
    DATA_AMF3 = 15
    SHARED_OBJECT_AMF3 = 16
    COMMAND_AMF3 = 17
    DATA_AMF0 = 18
    SHARED_OBJECT_AMF0 = 19
    COMMAND_AMF0 = 20
    AGGREGATE = 22


# As plain numbers, for what is done with each message: Python 3.11 takes as long to look a member
# up in its class as for all else in a short method.
AUDIO: Final = int(MessageType.AUDIO)
VIDEO: Final = int(MessageType.VIDEO)
DATA_AMF0: Final = int(MessageType.DATA_AMF0)


class UserControl(IntEnum):
    """User control events, the first two bytes of a type-4 message."""

    STREAM_BEGIN = 0
    STREAM_EOF = 1
    STREAM_DRY = 2
    SET_BUFFER_LENGTH = 3
    STREAM_IS_RECORDED = 4
    PING_REQUEST = 6
    PING_RESPONSE = 7


TIMESTAMP_MASK: Final = 0xFFFFFFFF
"""RTMP timestamps are 32-bit milliseconds, modulo 2^32 [RTMP 1.0 §4]."""


@dataclass(slots=True, init=False)  # a generated __init__ is the part that would not be compiled
class Message:
    """One whole message: ``timestamp`` is the 32-bit wire time in ms, ``payload`` ours to keep."""

    type_id: int
    timestamp: int
    stream_id: int
    payload: bytes

    def __init__(self, type_id: int, timestamp: int, stream_id: int, payload: bytes) -> None:
        self.type_id = type_id
        self.timestamp = timestamp
        self.stream_id = stream_id
        self.payload = payload
