"""Chunks to messages [RTMP 1.0 §5.3].

Theory of operation. `ChunkReader.feed` walks over the bytes of one read with an offset and copies
nothing but payloads: a message that lies whole in one chunk and one read is one slice of them.
Three things may be left over at the end of a read, and nothing else is kept: the bytes of a header
that is not complete yet (at most 18), the chunk stream whose chunk is being read with the number
of bytes it still lacks, and per chunk stream the body of an unfinished message.

A header changes state only once all of it is there; so does the peek at a repeated extended
timestamp. That makes any split of the same bytes give the same messages.

One shortcut takes what encoders nearly always send: ``_take_whole`` takes messages of which all is
in the read and nothing is out of the ordinary. It leaves the rest, untouched, to the general way.

Unfinished bodies are bytearrays and not lists of parts: a peer that sends a byte at a time would
make a list cost many times what ``max_partial_bytes`` allows.
"""

from typing import Final

from common.errors import ChunkError
from common.rtmp.chunk_stream import (
    FMT0,
    FMT1,
    HEADER_BYTES,
    MAX_FIRST_DELTA_MS,
    NOT_EXTENDED,
    NOT_JUDGED,
    U32,
    ChunkStream,
    any_stalled,
    continue_message,
)
from common.rtmp.chunk_writer import DEFAULT_CHUNK_SIZE
from common.rtmp.control import decode_u32
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import TIMESTAMP_MASK, Message, MessageType

_EXTENDED: Final = 0xFFFFFF
"""In the 3-byte time field: the time stands in 4 bytes behind the header [RTMP 1.0 §5.3.1.3]."""

_LAST_OBEYED: Final = int(MessageType.ABORT)
"""Set Chunk Size and Abort are for the reader itself."""

_ALL_HEADER_BYTES: Final = (12, 8, 4, 1)  # with a basic header of one byte


class ChunkReader:
    """Puts messages together from the bytes of one direction of a connection.

    ``unfinished_bytes`` is how much of unfinished messages is held.
    """

    __slots__ = (
        "_chunk_left",
        "_chunk_size",
        "_current",
        "_held",
        "_limits",
        "_max_messages",
        "_small_message",
        "_streams",
        "unfinished_bytes",
    )

    def __init__(self, limits: RtmpLimits) -> None:
        self._limits = limits
        self._max_messages = limits.max_messages_per_read
        self._small_message = min(limits.max_command_bytes, limits.max_message_bytes)
        self._chunk_size = DEFAULT_CHUNK_SIZE
        self._streams: dict[int, ChunkStream] = {}
        self._held = b""  # the beginning of a header
        self._current: ChunkStream | None = None  # whose chunk is being read …
        self._chunk_left = 0  # … and what it lacks
        self.unfinished_bytes = 0

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages that ``data`` completes; any split of the bytes gives the same.

        Set Chunk Size and Abort are carried out here, at once, and not returned. Aggregates and
        all other types are returned as they are. ``data`` may hold ``max_messages_per_read``, so
        that one read takes a bounded time: no media is as short as a flood of empty messages.

        Raises ChunkError; the reader must not be used afterwards. Messages completed by the same
        ``data`` before the error are lost.
        """
        if self._held:
            data = self._held + data
            self._held = b""
        messages: list[Message] = []
        obeyed = 0
        pos = 0
        end = len(data)
        while True:
            stream = self._current
            if stream is None:
                if not self.unfinished_bytes:
                    room = self._max_messages - len(messages) - obeyed
                    pos = self._take_whole(data, pos, end, messages, room)
                if pos == end:
                    return messages
                after_header = self._open_chunk(data, pos, end)
                if after_header < 0:
                    self._held = data[pos:]
                    return messages
                pos = after_header
                stream = self._current
                assert stream is not None
            take = self._chunk_left
            if take > end - pos:
                take = end - pos
                self._chunk_left -= take
            else:
                self._chunk_left = 0
                self._current = None
            piece = data[pos : pos + take]
            pos += take
            body = stream.body
            if take == stream.length and not body:
                stream.body = None
                message = Message(stream.type_id, stream.timestamp, stream.stream_id, piece)
            else:
                assert body is not None
                body += piece
                self.unfinished_bytes += take
                if self.unfinished_bytes > self._limits.max_partial_bytes:
                    raise ChunkError(
                        "partial_messages_too_large",
                        f"unfinished messages hold more than {self._limits.max_partial_bytes} B",
                    )
                if len(body) < stream.length:
                    if self._current is not None:
                        return messages
                    continue
                self.unfinished_bytes -= len(body)
                stream.body = None
                message = Message(stream.type_id, stream.timestamp, stream.stream_id, bytes(body))
            if len(messages) + obeyed >= self._max_messages:
                raise ChunkError(
                    "message_flood", f"more than {self._max_messages} messages in one read"
                )
            if message.type_id > _LAST_OBEYED or not self._obey(message):
                messages.append(message)
            else:
                obeyed += 1

    def is_stalled(self, least: int) -> bool:
        """Tell whether an unfinished message has got less than ``least`` bytes since last asked."""
        return any_stalled(self._streams.values(), least)

    def _take_whole(
        self, data: bytes, pos: int, end: int, messages: list[Message], room: int
    ) -> int:
        """Take the messages at ``pos`` that are whole, up to ``room``; return what comes after.

        One flat loop, for this is done for nearly every message of every publisher.
        """
        streams = self._streams
        chunk_size = self._chunk_size
        while pos < end and room > 0:
            first = data[pos]
            stream = streams.get(first & 0x3F)  # none for 0 and 1, which begin longer headers
            body_at = pos + _ALL_HEADER_BYTES[first >> 6]
            if stream is None or stream.body is not None or body_at > end:
                break
            # Field by field: compiled, a call of `struct` would be most of what a header costs.
            if first < 0xC0:  # fmt 0, 1 and 2
                time = data[pos + 1] << 16 | data[pos + 2] << 8 | data[pos + 3]
            elif stream.extended < 0:
                time = stream.delta
            else:
                break
            if first < 0x80:  # fmt 0 and 1
                length = data[pos + 4] << 16 | data[pos + 5] << 8 | data[pos + 6]
                type_id = data[pos + 7]
            else:
                length = stream.length
                type_id = stream.type_id
            if length > self._small_message or time == _EXTENDED or type_id <= _LAST_OBEYED:
                break
            if length <= chunk_size:
                after = body_at + length
                if after > end:
                    break
                payload = data[body_at:after]
            else:
                headers = (length - 1) // chunk_size
                after = body_at + length + headers
                step = chunk_size + 1
                mark = bytes((0xC0 | first,))
                if after > end or data[body_at + chunk_size : after : step] != mark * headers:
                    break
                # All headers are this one byte at equal distances: cut out in one go.
                chunks = bytearray(data[body_at:after])
                del chunks[chunk_size::step]
                payload = bytes(chunks)
            if first < 0x40:
                stream.timestamp = time
                stream.delta = time if time <= MAX_FIRST_DELTA_MS else 0
                stream.stream_id = (  # little-endian
                    data[pos + 8] | data[pos + 9] << 8 | data[pos + 10] << 16 | data[pos + 11] << 24
                )
            else:
                stream.timestamp = (stream.timestamp + time) & TIMESTAMP_MASK
                stream.delta = time
            stream.length = length
            stream.type_id = type_id
            stream.extended = NOT_EXTENDED
            messages.append(Message(type_id, stream.timestamp, stream.stream_id, payload))
            pos = after
            room -= 1
        return pos

    def _open_chunk(self, data: bytes, pos: int, end: int) -> int:
        """Read the header at ``pos``; return where the payload begins, or -1 for lack of bytes."""
        if pos >= end:
            return -1
        first = data[pos]
        csid = first & 0x3F
        pos += 1
        if csid < 2:  # two more forms of the basic header [§5.3.1.1]
            if pos + csid >= end:
                return -1
            if csid == 0:
                csid = 64 + data[pos]
                pos += 1
            else:  # little-endian, unlike nearly all else
                csid = 64 + data[pos] + (data[pos + 1] << 8)
                pos += 2
        fmt = first >> 6
        if pos + HEADER_BYTES[fmt] > end:
            return -1
        stream = self._streams.get(csid)
        if stream is None:
            stream = self._new_stream(csid, fmt)
        if stream.body is not None:
            pos = continue_message(stream, fmt, data, pos, end)
        else:
            pos = self._begin_message(stream, fmt, data, pos, end)
        if pos < 0:
            return -1
        assert stream.body is not None
        left = stream.length - len(stream.body)
        self._chunk_left = left if left < self._chunk_size else self._chunk_size
        self._current = stream
        return pos

    def _new_stream(self, csid: int, fmt: int) -> ChunkStream:
        # fmt 1 must do: librtmp and ffmpeg open csid 2 with it for SetBufferLength.
        if fmt > 1:
            raise ChunkError("no_full_header", f"chunk stream {csid} begins with fmt {fmt}")
        if len(self._streams) >= self._limits.max_chunk_streams:
            raise ChunkError(
                "too_many_chunk_streams", f"more than {self._limits.max_chunk_streams} are in use"
            )
        stream = self._streams[csid] = ChunkStream()
        return stream

    def _begin_message(self, stream: ChunkStream, fmt: int, data: bytes, pos: int, end: int) -> int:
        """Take over the header of a new message and return where its payload begins, or -1."""
        length = stream.length
        type_id = stream.type_id
        stream_id = stream.stream_id
        extended = NOT_EXTENDED
        if fmt == 0:
            word, low, middle, high = FMT0.unpack_from(data, pos)
            time = word >> 8
            length = (word & 0xFF) << 16 | low >> 16
            type_id = low >> 8 & 0xFF
            stream_id = low & 0xFF | (middle & 0xFF00) | (middle & 0xFF) << 16 | high << 24
            pos += 11
        elif fmt == 1:
            word, low, type_id = FMT1.unpack_from(data, pos)
            time = word >> 8
            length = (word & 0xFF) << 16 | low
            pos += 7
        elif fmt == 2:
            time = data[pos] << 16 | data[pos + 1] << 8 | data[pos + 2]
            pos += 3
        else:
            time = stream.delta
            extended = stream.extended
        if time == _EXTENDED if fmt < 3 else extended >= 0:
            if pos + 4 > end:
                return -1
            time = U32.unpack_from(data, pos)[0]
            pos += 4
            if fmt == 3 and time == extended:  # after fmt 0 it repeats a time, not a delta
                time = stream.delta
            else:
                extended = time
        if length > self._small_message and length > self._limits.message_cap(type_id):
            raise ChunkError("message_too_large", f"{length} B in a message of type {type_id}")
        if fmt == 0:
            stream.timestamp = time
            stream.delta = time if time <= MAX_FIRST_DELTA_MS else 0
        else:
            stream.timestamp = (stream.timestamp + time) & TIMESTAMP_MASK
            stream.delta = time
        stream.length = length
        stream.type_id = type_id
        stream.stream_id = stream_id
        stream.extended = extended
        stream.judged_at = NOT_JUDGED
        stream.body = bytearray()
        return pos

    def _obey(self, message: Message) -> bool:
        """Carry out Set Chunk Size or Abort; False for any other type."""
        value = decode_u32(message.payload)
        if message.type_id == MessageType.SET_CHUNK_SIZE:
            if value is not None:
                self._set_chunk_size(value)
        elif message.type_id == MessageType.ABORT:
            stream = None if value is None else self._streams.get(value)
            if stream is not None and stream.body is not None:
                self.unfinished_bytes -= len(stream.body)
                stream.body = None  # the header stays: the next message may inherit from it
        else:
            return False
        return True

    def _set_chunk_size(self, size: int) -> None:
        if size > 0x7FFFFFFF:
            raise ChunkError("bad_chunk_size", f"the top bit must be zero, not {size:#x}")
        if size < self._limits.min_chunk_size:  # each chunk costs the same work, full or not
            raise ChunkError(
                "bad_chunk_size", f"{size} is under the minimum of {self._limits.min_chunk_size}"
            )
        # No message is longer, so a greater size changes nothing; and nothing is sized by it.
        self._chunk_size = min(size, self._limits.max_message_bytes)
