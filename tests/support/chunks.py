"""Chunks as other implementations write them: compressed headers, interleaving, old habits."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from common.rtmp.message import Message

EXTENDED = 0xFFFFFF


def basic_header(fmt: int, csid: int) -> bytes:
    """Return the one, two or three bytes with fmt and csid [RTMP 1.0 §5.3.1.1]."""
    if csid < 64:
        return bytes((fmt << 6 | csid,))
    if csid < 320:
        return bytes((fmt << 6, csid - 64))
    return bytes((fmt << 6 | 1,)) + (csid - 64).to_bytes(2, "little")


def raw_chunk(
    fmt: int,
    csid: int,
    payload: bytes = b"",
    *,
    time: int = 0,
    length: int | None = None,
    type_id: int = 9,
    stream_id: int = 1,
    extended: int | None = None,
) -> bytes:
    """Return one chunk exactly as told; ``extended`` is appended to the header whatever fmt is.

    A ``time`` of 0xFFFFFF or more is written as an extended one.
    """
    header = basic_header(fmt, csid)
    if fmt < 3:
        header += min(time, EXTENDED).to_bytes(3, "big")
        if time >= EXTENDED and extended is None:
            extended = time
    if fmt < 2:
        header += (len(payload) if length is None else length).to_bytes(3, "big")
        header += bytes((type_id,))
    if fmt == 0:
        header += stream_id.to_bytes(4, "little")
    if extended is not None:
        header += extended.to_bytes(4, "big")
    return header + payload


def set_chunk_size(size: int, csid: int = 2) -> bytes:
    """Return a Set Chunk Size message."""
    return raw_chunk(0, csid, size.to_bytes(4, "big"), type_id=1, stream_id=0)


def abort(target: int, csid: int = 2) -> bytes:
    """Return an Abort message for csid ``target``."""
    return raw_chunk(0, csid, target.to_bytes(4, "big"), type_id=2, stream_id=0)


class Habit(Enum):
    """What a writer means by fmt 3 at the beginning of a message."""

    SPECIFICATION = "the same delta again; after fmt 0, its time"
    OLD_LIBRTMP = "the same time again"


@dataclass(slots=True)
class _Sent:
    timestamp: int
    delta: int
    length: int
    type_id: int
    stream_id: int
    full: bool  # whether the last header was fmt 0


class CompressingWriter:
    """Writes messages with the shortest headers that its habit allows.

    ``repeats_extended`` is False for writers (older OBS, some cameras) that leave the extended
    time out of continuation chunks.
    """

    def __init__(
        self,
        *,
        chunk_size: int = 128,
        habit: Habit = Habit.SPECIFICATION,
        repeats_extended: bool = True,
    ) -> None:
        self.chunk_size = chunk_size
        self._habit = habit
        self._repeats_extended = repeats_extended
        self._sent: dict[int, _Sent] = {}

    def chunks(self, message: Message, csid: int) -> Iterator[bytes]:
        """Yield the chunks of one message, to be joined or interleaved with others'."""
        fmt, time = self._choose(message, csid)
        head, rest = message.payload[: self.chunk_size], message.payload[self.chunk_size :]
        extended = time if time >= EXTENDED else None
        yield raw_chunk(
            fmt,
            csid,
            head,
            time=time,
            length=len(message.payload),
            type_id=message.type_id,
            stream_id=message.stream_id,
            extended=extended,
        )
        for at in range(0, len(rest), self.chunk_size):
            piece = rest[at : at + self.chunk_size]
            yield raw_chunk(3, csid, piece, extended=extended if self._repeats_extended else None)

    def write(self, message: Message, csid: int) -> bytes:
        """Return one whole message."""
        return b"".join(self.chunks(message, csid))

    def _choose(self, message: Message, csid: int) -> tuple[int, int]:
        """Return the fmt of the message's first header and its time field."""
        last = self._sent.get(csid)
        fmt, time = 0, message.timestamp
        if last and last.stream_id == message.stream_id and message.timestamp >= last.timestamp:
            time = message.timestamp - last.timestamp
            fmt = 1
            if (last.length, last.type_id) == (len(message.payload), message.type_id):
                fmt = 3 if self._may_omit_delta(last, time) else 2
        self._sent[csid] = _Sent(
            message.timestamp,
            time,
            len(message.payload),
            message.type_id,
            message.stream_id,
            fmt == 0,
        )
        return fmt, time

    def _may_omit_delta(self, last: _Sent, delta: int) -> bool:
        if self._habit is Habit.OLD_LIBRTMP:
            return delta == 0 and last.delta < EXTENDED
        # Past 10 s a reader has to take fmt 3 after fmt 0 for old librtmp's.
        return delta == last.delta and not (last.full and delta > 10_000)
