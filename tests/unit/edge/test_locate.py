"""What a worker knows of where streams are: asked, announced, remembered."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from common.clock import ManualClock
from common.cluster import announcements
from common.cluster.memory import MemoryTable
from common.cluster.records import ClusterEvent, EventKind
from common.config.model import PublisherPolicy
from common.errors import DirectoryUnavailable
from common.ids import StreamKey
from edge import locate
from edge.locate import Locator
from tests.support.cluster import STREAM, make_claim
from tests.support.spine import turns
from tests.support.wait import until
from tests.support.watched_directory import WatchedDirectory

TAKEOVER = PublisherPolicy.TAKEOVER
A = make_claim(owner="a/0/aa")
B = make_claim(owner="b/0/bb")


class Watcher:
    def __init__(self) -> None:
        self.reconsidered = 0
        self.rechecked = 0

    def reconsider(self) -> None:
        self.reconsidered += 1

    def recheck(self) -> None:
        self.rechecked += 1


@pytest.fixture
def table() -> MemoryTable:
    return MemoryTable()


@pytest.fixture
def directory(table: MemoryTable) -> WatchedDirectory:
    return WatchedDirectory(table)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def locator(directory: WatchedDirectory, clock: ManualClock) -> AsyncIterator[Locator]:
    locator = Locator(directory, 1.0, clock.monotonic)
    locator.start()
    await turns()
    yield locator
    await locator.close()


async def test_found_stream_is_remembered(locator: Locator, directory: WatchedDirectory) -> None:
    route = await directory.claim(A, TAKEOVER)
    assert await locator.find(STREAM) == route
    assert locator.announced(STREAM) == route


async def test_dead_name_costs_one_lookup_per_period(
    locator: Locator, directory: WatchedDirectory, clock: ManualClock
) -> None:
    for _ in range(10_000):
        assert await locator.find(STREAM) is None
    assert directory.calls["lookup"] == 1
    clock.advance(1.001)
    for _ in range(10_000):
        await locator.find(STREAM)
    assert directory.calls["lookup"] == 2


async def test_announcement_ends_the_negative_cache(
    locator: Locator, directory: WatchedDirectory
) -> None:
    assert await locator.find(STREAM) is None
    route = await directory.claim(A, TAKEOVER)
    await turns()
    assert await locator.find(STREAM) == route


async def test_resync_ends_the_negative_cache_and_has_everything_checked(
    locator: Locator, directory: WatchedDirectory, table: MemoryTable
) -> None:
    watcher = Watcher()
    locator.watch(STREAM, watcher)
    await locator.find(STREAM)
    table.announce(ClusterEvent(kind=EventKind.RESYNC))
    await turns()
    await locator.find(STREAM)
    assert directory.calls["lookup"] == 2
    assert watcher.rechecked == 1


async def test_watcher_hears_of_its_stream_only_and_finds_the_route_without_a_lookup(
    locator: Locator, directory: WatchedDirectory
) -> None:
    watcher = Watcher()
    locator.watch(STREAM, watcher)
    await directory.claim(make_claim("live/other"), TAKEOVER)
    route = await directory.claim(A, TAKEOVER)
    await turns()
    assert watcher.reconsidered == 1
    assert locator.announced(STREAM) == route
    assert directory.calls["lookup"] == 0


async def test_streams_that_nobody_asks_for_are_not_remembered(
    locator: Locator, directory: WatchedDirectory
) -> None:
    await directory.claim(A, TAKEOVER)
    await turns()
    assert locator.announced(STREAM) is None


async def test_unwatching_late_does_not_end_the_watch_of_a_successor(
    locator: Locator, directory: WatchedDirectory
) -> None:
    former, successor = Watcher(), Watcher()
    locator.watch(STREAM, former)
    locator.watch(STREAM, successor)
    locator.unwatch(STREAM, former)
    await directory.claim(A, TAKEOVER)
    await turns()
    assert successor.reconsidered == 1
    locator.unwatch(STREAM, successor)
    await directory.claim(B, TAKEOVER)
    await turns()
    assert (former.reconsidered, successor.reconsidered) == (0, 1)


async def test_released_stream_is_forgotten(locator: Locator, directory: WatchedDirectory) -> None:
    route = await directory.claim(A, TAKEOVER)
    await locator.find(STREAM)
    await directory.release(route)
    await turns()
    assert locator.announced(STREAM) is None


async def test_late_release_of_a_former_owner_changes_nothing(
    locator: Locator, directory: WatchedDirectory, table: MemoryTable
) -> None:
    old = await directory.claim(A, TAKEOVER)
    new = await directory.claim(B, TAKEOVER)
    await locator.find(STREAM)
    table.announce(ClusterEvent(kind=EventKind.RELEASED, stream=STREAM, epoch=old.epoch))
    table.announce(ClusterEvent(kind=EventKind.CLAIMED, stream=STREAM, epoch=old.epoch, route=old))
    await turns()
    assert locator.announced(STREAM) == new


@pytest.mark.parametrize("was_known", [False, True])
async def test_answer_that_is_older_than_an_announcement_is_not_believed(
    locator: Locator, directory: WatchedDirectory, was_known: bool
) -> None:
    locator.watch(STREAM, Watcher())
    if was_known:
        await directory.claim(A, TAKEOVER)
        await turns()
    with directory.held("lookup"):
        finding = asyncio.ensure_future(locator.find(STREAM))
        await turns()
        moved = await directory.claim(B, TAKEOVER)
        await turns()
    assert await finding == moved
    assert await locator.find(STREAM) == moved


async def test_answer_that_is_older_than_a_release_is_not_believed(
    locator: Locator, directory: WatchedDirectory
) -> None:
    route = await directory.claim(A, TAKEOVER)
    await locator.find(STREAM)
    with directory.held("lookup"):
        finding = asyncio.ensure_future(locator.find(STREAM))
        await turns()
        await directory.release(route)
        await turns()
    assert await finding is None
    assert locator.announced(STREAM) is None


async def test_table_is_believed_even_when_epochs_began_anew(
    locator: Locator, directory: WatchedDirectory, table: MemoryTable
) -> None:
    await directory.claim(A, TAKEOVER)
    await locator.find(STREAM)
    table.flush()
    table.listeners.clear()
    directory._clock.advance(-500)  # type: ignore[attr-defined]  # a manual one
    route = await directory.claim(B, TAKEOVER)
    assert await locator.find(STREAM) == route
    assert locator.announced(STREAM) == route


async def test_known_routes_serve_while_the_table_is_away(
    locator: Locator, directory: WatchedDirectory, table: MemoryTable
) -> None:
    route = await directory.claim(A, TAKEOVER)
    await locator.find(STREAM)
    table.go_down()
    assert await locator.find(STREAM) == route
    assert not locator.directory_ok
    with pytest.raises(DirectoryUnavailable):
        await locator.find(StreamKey("live/unknown"))
    table.come_back()
    await until(lambda: locator.directory_ok)


async def test_memory_is_bounded(
    locator: Locator, directory: WatchedDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locate, "MAX_REMEMBERED", 10)
    for number in range(50):
        await directory.claim(make_claim(f"live/{number}"), TAKEOVER)
        await locator.find(StreamKey(f"live/{number}"))
        await locator.find(StreamKey(f"dead/{number}"))
    assert len(locator._known) == len(locator._absent) == 10
    assert locator.announced(StreamKey("live/49")) is not None


async def test_suspicion_is_announced_once_a_second_for_each_epoch(
    locator: Locator, directory: WatchedDirectory, clock: ManualClock
) -> None:
    watcher = Watcher()
    locator.watch(STREAM, watcher)
    for epoch in (7, 7, 8, 7):
        locator.suspect(STREAM, epoch)
    await turns()
    assert directory.calls["suspect"] == 2
    assert watcher.reconsidered == 0  # or all edges would try again whenever one has failed
    clock.advance(1.001)
    locator.suspect(STREAM, 7)
    await turns()
    assert directory.calls["suspect"] == 3


async def test_suspicion_while_the_table_is_away_is_dropped(
    locator: Locator, table: MemoryTable
) -> None:
    table.go_down()
    locator.suspect(STREAM, 7)
    await turns()
    assert not locator.directory_ok


async def test_nothing_ends_the_listening(
    directory: WatchedDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(Watcher):
        def reconsider(self) -> None:
            raise RuntimeError("a bug")

    monkeypatch.setattr(announcements, "PAUSE_S", 0.01)
    directory.failures = [ValueError("nobody expects this")]
    locator = Locator(directory, 1.0, ManualClock().monotonic)
    locator.start()
    locator.watch(STREAM, Broken())
    await until(lambda: directory.calls["events"] == 2)
    await directory.claim(A, TAKEOVER)
    await turns()
    moved = await directory.claim(B, TAKEOVER)
    await until(lambda: locator.announced(STREAM) == moved)
    await locator.close()


async def test_worker_without_a_stream_knows_as_well_that_the_table_is_away(
    locator: Locator, table: MemoryTable
) -> None:
    assert locator.directory_ok
    table.go_down()
    await until(lambda: not locator.directory_ok)
    table.come_back()
    await until(lambda: locator.directory_ok)


async def test_stream_that_is_missed_is_looked_for_everywhere_only_while_the_table_is_away(
    locator: Locator,
    directory: WatchedDirectory,
    table: MemoryTable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(locate, "MAX_ORIGINS", 3)
    for number in range(4):
        claim = replace(make_claim(f"live/{number}"), address=f"origin:{number}")
        await directory.claim(claim, TAKEOVER)
    await turns()
    stream = StreamKey("live/2")
    route = await locator.find(stream)
    assert route is not None
    assert [locator.place(route, misses) for misses in range(3)] == ["origin:2"] * 3
    table.go_down()
    await turns()
    # Where it was, then the others, the latest first; the oldest was forgotten.
    assert [locator.place(route, misses) for misses in range(4)] == [
        "origin:2",
        "origin:3",
        "origin:1",
        "origin:2",
    ]
    locator.found(stream, "origin:3")
    known = await locator.find(stream)
    assert known is not None
    assert (known.address, known.epoch) == ("origin:3", route.epoch)
    table.come_back()
    assert await locator.find(stream) == route
