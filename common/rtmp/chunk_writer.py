"""Messages to chunks, always so that a receiver can start at any message."""

from typing import Final

CSID_CONTROL: Final = 2
CSID_CONNECTION: Final = 3  # connect and its answers
CSID_AUDIO: Final = 4
CSID_STREAM: Final = 5  # publish, play, onStatus
CSID_VIDEO: Final = 6
CSID_DATA: Final = 8  # onMetaData and other data messages

DEFAULT_CHUNK_SIZE: Final = 128
"""The chunk size of both directions until Set Chunk Size [RTMP 1.0 §5.4.1]."""


def chunk_message(
    type_id: int, timestamp: int, stream_id: int, payload: bytes, *, csid: int, chunk_size: int
) -> bytes:
    """Return one whole message as chunks; ``timestamp`` is cut to 32 bits.

    ``csid`` must be in 2..63: ffmpeg writes (and checks) continuation headers for those only.
    """
    raise NotImplementedError
