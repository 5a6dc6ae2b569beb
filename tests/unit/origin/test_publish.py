"""Publishers at a whole origin worker: accepted, refused, taken over, gone."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from common.cluster.memory import MemoryDirectory, MemoryTable
from common.rtmp.events import Refused
from tests.support.publisher import Publisher, open_publisher
from tests.support.spine import (
    STREAM,
    InProcess,
    make_frames,
    make_headers,
    memory_directory,
    quick_settings,
    running_origin,
)
from tests.support.wait import until
from tests.support.watcher import watching


@pytest.fixture
def table() -> MemoryTable:
    return MemoryTable()


@pytest.fixture
def directory(table: MemoryTable) -> MemoryDirectory:
    return memory_directory(table, quick_settings())


@pytest.fixture
async def origin(directory: MemoryDirectory) -> AsyncIterator[InProcess]:
    async with running_origin(directory, quick_settings()) as origin:
        yield origin


def send(publisher: Publisher, name: str, count: int = 5, first: int = 0) -> None:
    for tag in [*make_headers(), *make_frames(name, count, first=first)]:
        publisher.send(tag)


async def test_stream_is_in_the_table_while_it_is_published(
    origin: InProcess, table: MemoryTable
) -> None:
    publisher = await open_publisher(origin.url())
    assert publisher.started.result()
    assert STREAM in table.leases
    publisher.close()
    await until(lambda: STREAM not in table.leases)


async def test_codecs_get_into_the_route(origin: InProcess, directory: MemoryDirectory) -> None:
    publisher = await open_publisher(origin.url())
    send(publisher, "a")

    async def has_codecs() -> bool:
        route = await directory.lookup(STREAM)
        return route is not None and route.claim.codecs == ("avc1", "mp4a")

    await until(has_codecs)
    publisher.close()


async def test_second_publisher_takes_over_and_relays_go_on(origin: InProcess) -> None:
    first = await open_publisher(origin.url())
    send(first, "a")
    async with watching(origin.url()) as watcher:
        await watcher.until_more(3)
        second = await open_publisher(origin.url())
        assert second.started.result()
        assert (await first.closed).reason == "refused"
        assert any(isinstance(event, Refused) for event in first.events)
        send(second, "b")
        await watcher.until(lambda: watcher.coded[-1].payload.endswith(b"b-4"))
        assert not watcher.was_told_the_end
        times = [tag.timestamp for tag in watcher.coded]
        assert times == sorted(times)
    second.close()


async def test_third_and_more_publishers_at_once_leave_one(
    origin: InProcess, table: MemoryTable
) -> None:
    publishers = await asyncio.gather(*[open_publisher(origin.url()) for _ in range(8)])
    await until(lambda: sum(not each.closed.done() for each in publishers) == 1)
    assert STREAM in table.leases
    assert origin.app.status().publishers == 1
    for each in publishers:
        each.close()
    await until(lambda: STREAM not in table.leases)


async def test_stop_gives_leases_up_before_it_returns(table: MemoryTable) -> None:
    async with running_origin(memory_directory(table, quick_settings()), quick_settings()) as one:
        await open_publisher(one.url())
        assert STREAM in table.leases
    assert not table.leases


async def test_kick_ends_the_publisher_and_its_route(
    origin: InProcess, directory: MemoryDirectory, table: MemoryTable
) -> None:
    publisher = await open_publisher(origin.url())
    await directory.kick(STREAM)
    assert (await publisher.closed).reason == "refused"
    await until(lambda: STREAM not in table.leases)


async def test_publisher_is_accepted_while_the_table_is_away_and_registered_after(
    origin: InProcess, table: MemoryTable
) -> None:
    table.go_down()
    publisher = await open_publisher(origin.url())
    assert publisher.started.result()
    assert not origin.app.status().directory_ok
    table.come_back()
    await until(lambda: STREAM in table.leases)
    assert origin.app.status().directory_ok
    publisher.close()


async def test_takeover_by_another_origin_ends_publisher_and_relays(
    origin: InProcess, table: MemoryTable
) -> None:
    settings = quick_settings()
    first = await open_publisher(origin.url())
    send(first, "a")
    async with (
        watching(origin.url()) as watcher,
        running_origin(memory_directory(table, settings), settings, "origin-2") as other,
    ):
        await watcher.until_more(3)
        second = await open_publisher(other.url())
        assert (await first.closed).reason == "refused"
        await watcher.until_closed()
        assert watcher.was_told_the_end
        assert not second.closed.done()
        second.close()


async def test_reject_policy_holds_across_origins(table: MemoryTable) -> None:
    settings = quick_settings(publish={"policy": "reject"})
    async with (
        running_origin(memory_directory(table, settings), settings, "origin-1") as one,
        running_origin(memory_directory(table, settings), settings, "origin-2") as two,
    ):
        first = await open_publisher(one.url())
        second = await open_publisher(two.url())
        assert not second.started.result()
        assert not first.closed.done()
        first.close()
        await until(lambda: STREAM not in table.leases)
        third = await open_publisher(two.url())
        assert third.started.result()
        third.close()


async def test_reject_policy_holds_in_a_worker_while_the_table_is_away(table: MemoryTable) -> None:
    settings = quick_settings(publish={"policy": "reject"})
    async with running_origin(memory_directory(table, settings), settings) as origin:
        first = await open_publisher(origin.url())
        table.go_down()
        second = await open_publisher(origin.url())
        assert not second.started.result()
        assert not first.closed.done()
        table.come_back()
        first.close()
