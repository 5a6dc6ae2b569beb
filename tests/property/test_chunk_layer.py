import random
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from common.errors import ChunkError
from common.rtmp.chunk_reader import ChunkReader
from common.rtmp.chunk_writer import chunk_message
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message
from tests.support.chunks import CompressingWriter, set_chunk_size

LIMITS = RtmpLimits()

TIMES = st.one_of(
    st.integers(0, 0xFFFFFFFF),
    st.sampled_from([0, 26, 10_000, 10_001, 0xFFFFFE, 0xFFFFFF, 0x1000000, 0xFFFFFFF0]),
)
CSIDS = st.sampled_from([2, 3, 4, 6, 63, 64, 319, 320, 65599])
CHUNK_SIZES = st.sampled_from([128, 129, 200, 4096, 65536])


@st.composite
def messages(draw: st.DrawFn) -> Message:
    size = draw(st.sampled_from([0, 1, 3, 127, 128, 129, 256, 300, 1000]))
    first = draw(st.integers(0, 250))
    return Message(
        draw(st.sampled_from([3, 4, 8, 9, 18, 20, 22])),
        draw(TIMES),
        draw(st.sampled_from([0, 1, 0x01020304])),
        bytes((first + at) % 251 for at in range(size)),
    )


CONVERSATIONS = st.lists(st.tuples(CSIDS, messages()), max_size=12)


def split(data: bytes, rng: random.Random) -> Iterator[bytes]:
    """Cut ``data`` anywhere, with a liking for short pieces."""
    at = 0
    while at < len(data):
        size = rng.choice([1, 1, 2, 3, 11, 12, 100, 500, 5000])
        yield data[at : at + size]
        at += size


def read_split(data: bytes, rng: random.Random) -> list[Message]:
    reader = ChunkReader(LIMITS)
    return [message for piece in split(data, rng) for message in reader.feed(piece)]


def interleave(
    writer: CompressingWriter, conversation: list[tuple[int, Message]], rng: random.Random
) -> tuple[bytes, list[Message]]:
    """Write the messages, up to three at a time; return the bytes and the order of completion."""
    waiting = list(conversation)
    open_messages: list[tuple[int, Message, list[bytes]]] = []
    wire = b""
    done = []
    while waiting or open_messages:
        busy = {csid for csid, _, _ in open_messages}
        if waiting and waiting[0][0] not in busy and len(open_messages) < 3:
            csid, message = waiting.pop(0)
            open_messages.append((csid, message, list(writer.chunks(message, csid))))
            continue
        chosen = rng.choice(open_messages)
        wire += chosen[2].pop(0)
        if not chosen[2]:
            open_messages.remove(chosen)
            done.append(chosen[1])
    return wire, done


@given(CONVERSATIONS, CHUNK_SIZES, st.booleans(), st.randoms(use_true_random=False))
def test_whatever_is_written_is_read_in_any_split_and_interleaving(
    conversation: list[tuple[int, Message]], chunk_size: int, repeats: bool, rng: random.Random
) -> None:
    writer = CompressingWriter(chunk_size=chunk_size, repeats_extended=repeats)
    wire, expected = interleave(writer, conversation, rng)
    wire = set_chunk_size(chunk_size) + wire
    assert ChunkReader(LIMITS).feed(wire) == expected
    assert read_split(wire, rng) == expected


@given(st.lists(messages(), max_size=8), st.integers(128, 2000), st.randoms())
def test_our_writer_and_reader_agree(
    written: list[Message], chunk_size: int, rng: random.Random
) -> None:
    wire = set_chunk_size(chunk_size) + b"".join(
        chunk_message(
            message.type_id,
            message.timestamp,
            message.stream_id,
            message.payload,
            csid=4 + message.type_id % 3,
            chunk_size=chunk_size,
        )
        for message in written
    )
    assert read_split(wire, rng) == written


@given(st.binary(max_size=600), st.randoms(use_true_random=False))
def test_rubbish_gives_messages_or_a_chunk_error_and_nothing_else(
    rubbish: bytes, rng: random.Random
) -> None:
    try:
        whole: list[Message] | str = ChunkReader(LIMITS).feed(rubbish)
    except ChunkError as error:
        whole = error.reason
    try:
        pieces: list[Message] | str = read_split(rubbish, rng)
    except ChunkError as error:
        pieces = error.reason
    assert pieces == whole
