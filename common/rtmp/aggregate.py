"""Aggregate messages (type 22): several FLV tags in one message [RTMP 1.0 §7.1.6]."""

from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message


def expand(message: Message, limits: RtmpLimits) -> list[Message]:
    """Return the audio, video and data messages inside an aggregate, in order.

    Times are moved so that the first one is at the aggregate's own time; all carry the
    aggregate's stream id. Other types are skipped.

    Raises ChunkError for an aggregate inside, too many messages, or one that is cut off.
    """
    raise NotImplementedError
