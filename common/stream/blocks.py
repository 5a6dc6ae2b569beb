"""From packets to the bytes on the wire: what an output's viewers share."""

from collections.abc import Iterable
from dataclasses import dataclass

from common.media.packet import Packet
from common.rtmp.chunk_writer import CSID_AUDIO, CSID_DATA, CSID_VIDEO, put_message
from common.rtmp.message import AUDIO, VIDEO


class Block:
    """Chunked messages, to be written as they are, and how many of each kind, for the totals."""

    __slots__ = ("audio", "data", "other", "video")

    def __init__(self, data: bytes, audio: int, video: int, other: int) -> None:
        self.data = data
        self.audio = audio
        self.video = video
        self.other = other

    def __add__(self, more: "Block") -> "Block":
        return Block(
            self.data + more.data,
            self.audio + more.audio,
            self.video + more.video,
            self.other + more.other,
        )


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

    def block(self, packets: Iterable[Packet], timestamp: int | None = None) -> Block:
        """Return those ``packets`` that are taken, at their own times or all at ``timestamp``."""
        pieces: list[bytes] = []
        audio = video = other = 0
        for packet in packets:
            if not self.takes(packet):
                continue
            type_id = packet.type_id
            if type_id == AUDIO:
                audio += 1
                csid = CSID_AUDIO
            elif type_id == VIDEO:
                video += 1
                csid = CSID_VIDEO
            else:
                other += 1
                csid = CSID_DATA
            at = packet.timestamp if timestamp is None else timestamp
            put_message(pieces, type_id, at, self.stream_id, packet.payload, csid, self.chunk_size)
        return Block(b"".join(pieces), audio, video, other)
