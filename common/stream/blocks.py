"""From packets to the bytes on the wire: what an output's viewers share."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from common.media.packet import Packet
from common.rtmp.chunk_writer import CSID_AUDIO, CSID_DATA, CSID_VIDEO, chunk_message
from common.rtmp.message import AUDIO, DATA_AMF0, VIDEO

_CSIDS: Final = {AUDIO: CSID_AUDIO, VIDEO: CSID_VIDEO, DATA_AMF0: CSID_DATA}


@dataclass(frozen=True, slots=True)
class Block:
    """Chunked messages, to be written as they are, and the type of each for the totals."""

    data: bytes
    types: bytes

    def __add__(self, other: "Block") -> "Block":
        return Block(self.data + other.data, self.types + other.types)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSpec:
    """What makes one serialisation of a stream differ from another."""

    stream_id: int = 1  # RTMP message stream id; nearly every client plays on 1
    audio: bool = True
    video: bool = True
    relay: bool = False  # for other nodes and workers: they are told where the stream comes from
    chunk_size: int

    def takes(self, packet: Packet) -> bool:
        """Return whether ``packet`` belongs to this serialisation."""
        if packet.type_id == AUDIO:
            return self.audio
        if packet.type_id == VIDEO:
            return self.video
        return True

    def chunk(self, packet: Packet, timestamp: int) -> bytes:
        """Return ``packet`` on the wire, as of ``timestamp``."""
        type_id = packet.type_id
        return chunk_message(
            type_id,
            timestamp,
            self.stream_id,
            packet.payload,
            csid=_CSIDS[type_id],
            chunk_size=self.chunk_size,
        )

    def block(self, packets: Iterable[Packet], timestamp: int | None = None) -> Block:
        """Return those ``packets`` that are taken, at their own times or all at ``timestamp``."""
        taken = [packet for packet in packets if self.takes(packet)]
        pieces = [
            self.chunk(each, each.timestamp if timestamp is None else timestamp) for each in taken
        ]
        return Block(b"".join(pieces), bytes([each.type_id for each in taken]))
