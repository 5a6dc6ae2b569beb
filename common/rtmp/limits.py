"""The limits of a connection; every one is checked before memory is spent.

Precedents stand beside each: what other servers chose, or the client that needs it.
"""

from dataclasses import dataclass
from typing import Final

from common.rtmp.message import MessageType

MAX_STREAM_ID: Final = 64
"""Highest message stream id that is given out, and that somebody may play on. Clients count from 1,
and nearly all play on 1. A stream is serialised anew for each id that its viewers choose, so they
must not be free to choose any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RtmpLimits:
    """Limits of one RTMP connection. Sizes in bytes, times in seconds."""

    handshake_timeout_s: float = 10.0  # C0..C2 altogether; SRS 30, nginx-rtmp 60
    connect_timeout_s: float = 10.0  # from the handshake to `connect`
    request_timeout_s: float = 20.0  # from `connect` to `publish` or `play`
    publish_silence_s: float = 10.0  # a publisher that sends nothing at all
    ping_interval_s: float = 60.0  # an idle player is pinged (nginx-rtmp: 60) …
    ping_timeout_s: float = 30.0  # … and dropped without an answer (nginx-rtmp: 30)
    max_message_bytes: int = 16 * 1024 * 1024  # audio, video; 4K intra frames reach several MB
    max_command_bytes: int = 256 * 1024  # commands, data, control
    max_messages_per_read: int = 16_384  # fmt 3 makes an empty message of one byte, 256 Ki a read
    max_partial_bytes: int = 32 * 1024 * 1024  # all unfinished messages of a connection together …
    max_viewer_partial_bytes: int = 1024 * 1024  # … of one that publishes nothing
    max_chunk_streams: int = 64  # live csids; their values may be anything up to 65599
    min_chunk_size: int = 128  # Red5 and SRS refuse less; 1 is a CPU amplifier
    max_message_streams: int = 16  # createStream calls in force
    commands_per_s: float = 50.0  # token bucket over commands, pings and the like
    command_burst: int = 100
    max_amf_depth: int = 16
    max_amf_nodes: int = 4096
    max_amf_string_bytes: int = 64 * 1024
    max_aggregate_messages: int = 1024
    max_name_bytes: int = 4096  # app, tcUrl, stream name as sent, with their query strings

    def message_cap(self, type_id: int) -> int:
        """Return the largest allowed message of a type, in bytes."""
        if type_id in (MessageType.AUDIO, MessageType.VIDEO, MessageType.AGGREGATE):
            return self.max_message_bytes
        return self.max_command_bytes
