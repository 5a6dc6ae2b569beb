"""Publishers at a whole origin worker: accepted, refused, taken over, gone."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from common.clock import SystemClock
from common.cluster.memory import MemoryDirectory, MemoryTable
from common.cluster.records import Claim, Route
from common.config.model import PublisherPolicy
from common.ids import NodeId, OwnerId
from common.local.player import open_player
from common.net.hello import RelayHello
from common.rtmp.events import PlayStarted, Refused
from common.rtmp.limits import RtmpLimits
from common.stream.source import StreamSource, is_source, parse_source
from origin.app import OriginApp
from tests.support.cluster import make_claim
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
    turns,
)
from tests.support.wait import until
from tests.support.watched_directory import WatchedDirectory
from tests.support.watcher import Watcher, watching

RELAY = RelayHello(node=NodeId("edge-1"), hops=(NodeId("edge-1"),)).to_properties()


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


def sources(watcher: Watcher) -> list[tuple[StreamSource | None, int]]:
    """Return what a relay was told of the stream's source, and at what times."""
    return [
        (parse_source(tag.payload, RtmpLimits()), tag.timestamp)
        for tag in watcher.tags
        if is_source(tag.payload)
    ]


async def test_relays_are_told_in_band_that_a_stream_has_another_publisher(
    origin: InProcess,
) -> None:
    first = await open_publisher(origin.url())
    send(first, "a")
    async with watching(origin.url(), RELAY) as relay:
        await relay.until(lambda: [frame_name(tag.payload) for tag in relay.coded][-1:] == ["a-4"])
        second = await open_publisher(origin.url())
        send(second, "b", 1)
        await relay.until(lambda: frame_name(relay.coded[-1].payload) == "b-0")
        (one, _), (other, at) = sources(relay)
        assert one is not None
        assert other is not None
        assert one.session != other.session
        assert (one.offset_ms, other.offset_ms, at) == (0, 0, relay.coded[-1].timestamp)
        assert is_source(relay.tags[-4].payload)  # then two headers and the keyframe
    second.close()


async def test_session_that_is_registered_late_is_the_same_for_its_relays(
    origin: InProcess, table: MemoryTable
) -> None:
    table.go_down()
    publisher = await open_publisher(origin.url())
    send(publisher, "a")
    async with watching(origin.url(), RELAY) as relay:
        await relay.until_more(3)
        table.come_back()
        await until(lambda: STREAM in table.leases)
        send(publisher, "a", 1, first=5)
        await relay.until(lambda: frame_name(relay.coded[-1].payload) == "a-5")
        async with watching(origin.url(), RELAY) as late:
            await late.until_more(3)
            assert len(sources(relay)) == 1
            assert sources(late)[0][0] == sources(relay)[0][0]
    publisher.close()


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


class BrokenDirectory(MemoryDirectory):
    """A table whose claims end in a bug."""

    async def claim(
        self, claim: Claim, policy: PublisherPolicy, *, over: int = 0, age_s: float = 0.0
    ) -> Route:
        raise ZeroDivisionError("a bug")


async def test_publisher_whose_claim_fails_by_a_bug_is_closed_without_an_error_status(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.logs.FloodGate.admit", lambda *_: 0)
    async with running_origin(BrokenDirectory(SystemClock()), quick_settings()) as origin:
        publisher = await open_publisher(origin.url())
        assert not publisher.started.result()
        assert (await publisher.closed).reason == "eof"
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


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


def put_to_sleep(origin: InProcess) -> None:
    """Make a worker believe that it has been stopped for longer than its leases live."""
    assert isinstance(origin.app, OriginApp)
    origin.app._leases._sleep._ticked_at -= 10


async def test_worker_that_slept_and_lost_its_stream_serves_nothing_of_it(
    table: MemoryTable,
) -> None:
    # It renews once in 300 s, so that it asks only because it has slept.
    settings = quick_settings(lease={"ttl_s": 2.0, "renew_s": 300.0})
    directory = WatchedDirectory(table, SystemClock())
    async with running_origin(directory, settings) as origin:
        publisher = await open_publisher(origin.url())
        send(publisher, "a")
        async with watching(origin.url()) as relay:
            await relay.until(lambda: len(relay.coded) == 5)
            listening, table.listeners = table.listeners, set()
            await directory.claim(make_claim(owner="other/0/x"), PublisherPolicy.TAKEOVER)
            table.listeners = listening
            with directory.held("renew"):
                put_to_sleep(origin)
                send(publisher, "zombie", first=5)
                late = await open_player(origin.url(), lambda message, now: None)
                await until(lambda: directory.calls["renew"] == 1)
                await turns()
                assert not any(isinstance(event, PlayStarted) for event in late.events)
            await relay.until_closed()
            assert relay.was_told_the_end
            assert len(relay.coded) == 5
        assert (await publisher.closed).reason == "refused"
        assert (await late.closed).reason == "refused"


@pytest.mark.parametrize("away", [False, True])
async def test_worker_that_slept_and_has_its_stream_still_goes_on_with_all_of_it(
    origin: InProcess, table: MemoryTable, away: bool
) -> None:
    publisher = await open_publisher(origin.url())
    send(publisher, "a")
    async with watching(origin.url()) as relay:
        await relay.until(lambda: len(relay.coded) == 5)
        if away:
            table.go_down()
        for first in (5, 10, 15):
            put_to_sleep(origin)
            send(publisher, "b", first=first)
            await relay.until(lambda first=first: len(relay.coded) == first + 5)
        names = [frame_name(tag.payload) for tag in relay.coded]
        assert names == [f"a-{n}" for n in range(5)] + [f"b-{n}" for n in range(5, 20)]
    publisher.close()


async def test_publisher_that_leaves_while_its_worker_asks_leaves_the_connection_usable(
    table: MemoryTable,
) -> None:
    settings = quick_settings(lease={"ttl_s": 2.0, "renew_s": 300.0})
    directory = WatchedDirectory(table, SystemClock())
    async with running_origin(directory, settings) as origin:
        publisher = await open_publisher(origin.url())
        with directory.held("renew"):
            put_to_sleep(origin)
            send(publisher, "a")
            await until(lambda: directory.calls["renew"] == 1)
            publisher.close()
            await asyncio.sleep(0)
        await until(lambda: origin.app.status().publishers == 0)
        await until(lambda: STREAM not in table.leases)


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


async def test_reject_policy_does_not_hold_for_an_entry_of_nobody(
    table: MemoryTable, directory: MemoryDirectory
) -> None:
    settings = quick_settings(publish={"policy": "reject"}, lease={"ttl_s": 1000.0})
    async with running_origin(memory_directory(table, settings), settings) as origin:
        first = await open_publisher(origin.url())
        claim = table.leases[STREAM].route.claim
        first.close()
        await until(lambda: STREAM not in table.leases)
        # As a claim does that was on its way for longer than its publisher waited.
        await directory.claim(
            replace(claim, owner=OwnerId("origin-1/0/gone")), PublisherPolicy.REJECT
        )
        second = await open_publisher(origin.url())
        assert second.started.result()
        second.close()


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
