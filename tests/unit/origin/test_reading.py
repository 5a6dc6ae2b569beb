"""How publishers are read that nobody watches: over real sockets, with the clock of the test."""

import array
import fcntl
import socket
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from common.cluster.memory import MemoryTable
from common.rtmp.chunk_writer import CSID_VIDEO, chunk_message
from common.rtmp.message import MessageType
from origin.app import OriginApp
from origin.reading import MAX_BITE_BYTES, Reading
from tests.support.publisher import Publisher, open_publisher
from tests.support.spine import (
    STREAM,
    InProcess,
    frame_name,
    make_frames,
    make_headers,
    memory_directory,
    quick_settings,
    running_origin,
)
from tests.support.wait import until
from tests.support.watcher import Watcher, watching
from tests.support.wire import command

SECOND = 40_000
"""Bytes that an encoder sends in a second."""


@pytest.fixture
def table() -> MemoryTable:
    return MemoryTable()


@asynccontextmanager
async def running(
    table: MemoryTable, **publish: object
) -> AsyncIterator[tuple[InProcess, Publisher]]:
    """An origin with a publisher whose first GOP has come."""
    settings = quick_settings(publish=publish)
    async with running_origin(memory_directory(table, settings), settings) as origin:
        # Its seconds are those of the test.
        metering = app_of(origin)._metering
        assert metering is not None
        metering.cancel()
        publisher = await open_publisher(origin.url())
        for tag in [*make_headers(), *make_frames("a", 3)]:
            publisher.send(tag)
        yield origin, publisher
        publisher.close()


def app_of(origin: InProcess) -> OriginApp:
    assert isinstance(origin.app, OriginApp)
    return origin.app


def readings(origin: InProcess) -> set[Reading]:
    return app_of(origin)._readings._readings


class OriginsEnd:
    """The origin's end of its newest publisher."""

    def __init__(self, origin: InProcess, *others: Reading) -> None:
        (self._reading,) = readings(origin) - set(others)
        self._review = app_of(origin)._readings.review
        self._socket: socket.socket = self._reading._link.transport.get_extra_info("socket")

    @property
    def bite(self) -> int:
        """How much must have come for the origin to be told."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)

    @property
    def received(self) -> int:
        """How much the origin has read."""
        return self._reading._link.core.bytes_received

    @property
    def waiting(self) -> int:
        """How much the kernel keeps."""
        size = array.array("i", [0])
        fcntl.ioctl(self._socket.fileno(), termios.FIONREAD, size)
        return size[0]

    async def pass_seconds(self, publisher: Publisher, *sizes: int) -> None:
        """Let the publisher send so much in each second."""
        for size in sizes:
            enough = self.received + size
            publisher.send_payload(MessageType.VIDEO, 200, b"\x27\x01\0\0\0" + bytes(size))
            await until(lambda enough=enough: self._has(enough))
            self._review()

    def _has(self, enough: int) -> bool:
        return self.received + self.waiting >= enough and self.waiting < self.bite


async def test_a_publisher_that_nobody_watches_is_read_in_bites_of_its_rate(
    table: MemoryTable,
) -> None:
    async with running(table, unwatched_read_ms=250) as (origin, publisher):
        end = OriginsEnd(origin)
        await end.pass_seconds(publisher, SECOND)
        assert end.bite == 1
        await end.pass_seconds(publisher, SECOND)
        assert end.bite == pytest.approx(SECOND / 4, rel=0.05)


async def test_what_waits_is_read_with_the_first_viewer(table: MemoryTable) -> None:
    async with running(table) as (origin, publisher):
        end = OriginsEnd(origin)
        await end.pass_seconds(publisher, SECOND, SECOND)
        before = end.received
        publisher.send(make_frames("waits", 1, first=5)[0])
        await until(lambda: end.waiting > 0)
        assert end.received == before
        async with watching(origin.url()) as watcher:
            await watcher.until(lambda: names(watcher)[-1:] == ["waits-5"])
            assert end.bite == 1
            await end.pass_seconds(publisher, SECOND, SECOND, SECOND)
            assert end.bite == 1, "it is watched"
        live = app_of(origin)._hub.find(STREAM)
        assert live is not None
        await until(lambda: not live.viewers)
        await end.pass_seconds(publisher, SECOND, SECOND)
        assert end.bite > 1


async def test_its_last_words_are_heard_when_it_closes(table: MemoryTable) -> None:
    async with running(table) as (origin, publisher):
        end = OriginsEnd(origin)
        await end.pass_seconds(publisher, SECOND, SECOND)
        publisher.send(make_frames("last", 1, first=4)[0])
        await until(lambda: end.waiting > 0)
        publisher.close()
        await until(lambda: STREAM not in table.leases)
        assert not readings(origin)


async def test_who_ends_the_stream_and_stays_is_heard(table: MemoryTable) -> None:
    async with running(table) as (origin, publisher):
        end = OriginsEnd(origin)
        await end.pass_seconds(publisher, SECOND, SECOND)
        frame = b"\x27\x01\0\0\0" + bytes(100)
        media = chunk_message(MessageType.VIDEO, 300, 1, frame, csid=CSID_VIDEO, chunk_size=128)
        publisher.write(media * (SECOND // 200) + command("deleteStream", 0, None, 1))
        await until(lambda: STREAM not in table.leases)
        assert not readings(origin)
        assert end.bite == 1


async def test_one_that_becomes_slow_is_read_at_once_again(table: MemoryTable) -> None:
    async with running(table) as (origin, publisher):
        end = OriginsEnd(origin)
        await end.pass_seconds(publisher, SECOND, SECOND, 50)
        assert end.bite == 1
        await until(lambda: not end.waiting)


async def test_a_bite_is_bounded_and_follows_large_changes_only(table: MemoryTable) -> None:
    async with running(table) as (origin, publisher):
        end = OriginsEnd(origin)
        await end.pass_seconds(publisher, *[SECOND] * 3)
        usual = end.bite
        await end.pass_seconds(publisher, SECOND * 11 // 10)
        assert end.bite == usual
        await end.pass_seconds(publisher, 20 * SECOND)
        assert end.bite == MAX_BITE_BYTES


async def test_it_can_be_switched_off(table: MemoryTable) -> None:
    async with running(table, unwatched_read_ms=0) as (origin, publisher):
        end = OriginsEnd(origin)
        await end.pass_seconds(publisher, *[SECOND] * 3)
        assert end.bite == 1


async def test_a_standby_is_read_in_bites_until_it_is_promoted(table: MemoryTable) -> None:
    async with running(table, policy="standby") as (origin, first):
        publisher = readings(origin).copy()
        standby = await open_publisher(origin.url())
        for tag in [*make_headers(), *make_frames("b", 3)]:
            standby.send(tag)
        end = OriginsEnd(origin, *publisher)
        await end.pass_seconds(standby, SECOND, SECOND)
        assert end.bite > 1
        first.close()
        await until(lambda: len(readings(origin)) == 1)
        await until(lambda: end.bite == 1)
        standby.close()


def names(watcher: Watcher) -> list[str]:
    return [frame_name(tag.payload) for tag in watcher.coded]
