import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

import pytest

from common.local.tap import HOST, REMEMBERED, Tap
from common.rtmp.chunk_writer import CSID_AUDIO, CSID_VIDEO, chunk_message
from common.rtmp.message import MessageType

HANDSHAKE = b"\x03" + bytes(3072)
VIDEO = b"\x17\x01" + bytes(range(256)) * 2


def media(type_id: int, payload: bytes) -> bytes:
    csid = CSID_VIDEO if type_id == MessageType.VIDEO else CSID_AUDIO
    return chunk_message(type_id, 40, 1, payload, csid=csid, chunk_size=128)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1000):
        writer.write(data)
    writer.close()


@asynccontextmanager
async def tapped() -> AsyncIterator[tuple[Tap, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A tap before a server that sends back what it gets."""
    server = await asyncio.start_server(echo, HOST, 0)
    async with server:
        async with Tap(HOST, server.sockets[0].getsockname()[1]) as tap:
            reader, writer = await asyncio.open_connection(HOST, tap.port)
            yield tap, reader, writer
        writer.close()  # the tap has left an open connection


async def test_bytes_pass_unchanged_and_video_is_noted() -> None:
    data = HANDSHAKE + media(MessageType.AUDIO, b"\xaf\x01sound") + media(MessageType.VIDEO, VIDEO)
    async with tapped() as (tap, reader, writer):
        began = monotonic()
        for at in range(0, len(data), 700):
            writer.write(data[at : at + 700])
        assert await reader.readexactly(len(data)) == data
        passed_at = tap.passed_at(VIDEO)
        assert passed_at is not None
        assert began <= passed_at <= monotonic()
        assert tap.video_seen.is_set()
        assert tap.passed_at(b"\xaf\x01sound") is None


async def test_what_is_no_rtmp_passes_as_well() -> None:
    data = HANDSHAKE + b"\xc9 no chunk stream begins with this" * 10
    async with tapped() as (tap, reader, writer):
        writer.write(data)
        assert await reader.readexactly(len(data)) == data
        assert not tap.video_seen.is_set()


async def test_the_end_of_one_side_ends_the_other() -> None:
    async with tapped() as (_, reader, writer):
        writer.write_eof()
        assert await reader.read() == b""


async def test_only_so_many_messages_are_remembered() -> None:
    tap = Tap(HOST, 1)
    for number in range(REMEMBERED + 1):
        tap.note(number.to_bytes(4, "big"))
    assert tap.passed_at((0).to_bytes(4, "big")) is None
    assert tap.passed_at(REMEMBERED.to_bytes(4, "big")) is not None


async def test_leaving_ends_what_still_runs(caplog: pytest.LogCaptureFixture) -> None:
    async with tapped() as (_, reader, writer):
        writer.write(HANDSHAKE)
        await reader.readexactly(len(HANDSHAKE))
        # and the block is left with the connection open
    assert await reader.read() == b""
    assert not caplog.records
