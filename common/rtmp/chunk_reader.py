"""Chunks to messages [RTMP 1.0 §5.3]."""

from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message


class ChunkReader:
    """Puts messages together from the bytes of one direction of a connection.

    ``bytes_received`` counts all bytes fed so far, for acknowledgements.
    """

    __slots__ = ("bytes_received",)

    def __init__(self, limits: RtmpLimits) -> None:
        self.bytes_received = 0

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages that ``data`` completes; any split of the bytes gives the same.

        Set Chunk Size and Abort are carried out here, at once, and not returned. Aggregates and
        all other types are returned as they are.

        Raises ChunkError; the reader must not be used afterwards. Messages completed by the same
        ``data`` before the error are lost.
        """
        raise NotImplementedError
