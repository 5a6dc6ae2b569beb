"""A pull whose source is not there, dies, moves or lies. Sources are real RTMP servers."""

import asyncio
import itertools
from dataclasses import replace

import pytest

from common import logs
from common.config.model import PublisherPolicy
from common.errors import StreamNotFound
from common.ids import StreamKey
from common.media.flv_file import FlvTag
from common.rtmp.message import MessageType
from common.stream.live import LiveStream
from edge.pull import PullState
from tests.support.cluster import make_claim
from tests.support.edge_worker import Edge, ends_with, order, streaming, with_edge
from tests.support.logged import logged
from tests.support.sources import Recorder
from tests.support.spine import STREAM, turns
from tests.support.wait import until


async def test_origin_that_does_not_have_the_stream_is_asked_again_with_back_off(
    edge: Edge,
) -> None:
    source = await edge.source()
    await edge.claim(source)
    with pytest.raises(StreamNotFound):
        await edge.watch()
    # 0.3 s of hold, pauses of 10 ms doubling to 100 ms, each shortened by up to a half.
    assert 3 <= len(source.orders) <= 15


@pytest.mark.parametrize("address", ["nowhere", "host:99999", "a..b:1935", "", "127.0.0.1:1"])
async def test_route_that_leads_nowhere_refuses_viewers_and_breaks_nothing(
    edge: Edge, address: str
) -> None:
    claim = replace(make_claim(), address=address)
    await edge.directory.claim(claim, PublisherPolicy.TAKEOVER)
    with pytest.raises(StreamNotFound):
        await edge.watch()
    source, recorder = await streaming(edge)
    await edge.directory.claim(claim, PublisherPolicy.TAKEOVER)  # and for one that runs
    await until(lambda: not source.relays)
    await edge.claim(source)
    await until(lambda: source.relays == 1)
    assert not recorder.ended


async def test_source_that_sends_data_only_does_not_keep_viewers_waiting_for_ever(
    edge: Edge,
) -> None:
    source = await edge.source()
    await edge.claim(source)
    source.send("a", 0)
    source.streams[STREAM].headers.clear()
    data = b"\x02\x00\x0aonTextData\x02\x00\x01x"

    async def babble() -> None:
        while True:
            source.send_tags([FlvTag(MessageType.DATA_AMF0, 0, data)])
            if source.relays:
                await asyncio.sleep(0.01)
                for connection in source.connections:
                    connection.abort("gone")
            await asyncio.sleep(0.001)

    babbling = asyncio.ensure_future(babble())
    async with asyncio.timeout(3):
        with pytest.raises(StreamNotFound):
            await edge.watch()
    babbling.cancel()


async def test_same_publish_session_goes_on_without_duplicates_and_without_a_keyframe(
    edge: Edge,
) -> None:
    source, recorder = await streaming(edge)
    for connection in source.connections:
        connection.abort("cut")
    await until(lambda: not source.relays)
    await until(lambda: source.relays == 1)
    source.send("b", 4, first=6)  # the first one is a keyframe
    await until(ends_with(recorder, "b-9"))
    assert recorder.frames == [f"a-{n}" for n in range(5)] + [f"b-{n}" for n in range(6, 10)]
    assert recorder.times == [40 * n for n in (*range(5), *range(6, 10))]
    assert len(source.orders) == 2


@pytest.mark.parametrize("how", ["dies", "route_moves", "released_then_claimed"])
async def test_other_publish_session_goes_on_at_a_keyframe_with_time_increasing(
    edge: Edge, how: str
) -> None:
    source, recorder = await streaming(edge)
    other = await edge.source()
    other.send("b", 5)
    match how:
        case "dies":
            await source.kill()
            await until(lambda: edge.pull().state is PullState.LOST)
            await edge.claim(other)
        case "route_moves":
            await edge.claim(other)
        case "released_then_claimed":
            await edge.directory.release(edge.table.leases[STREAM].route)
            source.end()
            await until(lambda: edge.pull().state is PullState.LOST)
            await edge.claim(other)
    await until(ends_with(recorder, "b-4"))
    other.send("c", 5, first=5)
    await until(ends_with(recorder, "c-9"))
    expected = [f"a-{n}" for n in range(5)] + [f"b-{n}" for n in range(5)]
    assert recorder.frames == expected + [f"c-{n}" for n in range(5, 10)]
    assert all(before < after for before, after in itertools.pairwise(recorder.times))
    assert not recorder.ended
    # The old relay is closed: its source can go on, and nobody hears it.
    await until(lambda: not source.connections)
    assert other.relays == 1


@pytest.mark.parametrize("how", ["dies", "came_back_without_it", "accepts_and_closes"])
async def test_origin_that_cannot_be_had_is_suspected(edge: Edge, how: str) -> None:
    if how == "dies":
        source, _ = await streaming(edge)
        route = edge.table.leases[STREAM].route
        await source.kill()
    else:
        source = await edge.source()
        if how == "accepts_and_closes":  # as a balancer does for an origin that is dead
            source.address = await edge.closing_port()
        route = await edge.claim(source)
        asyncio.ensure_future(edge.watch()).add_done_callback(lambda done: done.exception())
    event = await edge.suspicion()
    assert (event.stream, event.epoch) == (STREAM, route.epoch)


@pytest.mark.parametrize("sections", [{"relay": {"silence_s": 0.3}}])
async def test_origin_that_freezes_after_a_takeover_is_suspected_with_the_epoch_it_has_now(
    edge: Edge,
) -> None:
    """For another one no standby takes over."""
    source = await edge.source()
    way = await edge.way_to(source)
    await edge.claim(source)
    source.send("a", 5)
    recorder = await edge.watch()
    route = await edge.claim(source)  # at the same worker: the relay stays
    source.send("b", 5, first=5)
    await until(ends_with(recorder, "b-9"))
    way.freeze()
    event = await edge.suspicion()
    assert (event.stream, event.epoch) == (STREAM, route.epoch)
    assert len(source.orders) == 1


async def test_origin_that_ends_the_stream_in_good_order_is_not_suspected(edge: Edge) -> None:
    source, _ = await streaming(edge)
    pull = edge.pull()  # it is forgotten when it is over
    await edge.directory.release(edge.table.leases[STREAM].route)
    source.end()
    await until(lambda: pull.over)
    assert edge.directory.calls["suspect"] == 0


@pytest.mark.parametrize("ends", [True, False])
async def test_log_tells_a_relay_that_ended_from_one_that_was_lost(
    edge: Edge, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(logs, "_gate", logs.FloodGate())  # another test may have just said so
    source, _ = await streaming(edge)
    pull = edge.pull()
    if ends:
        await edge.directory.release(edge.table.leases[STREAM].route)
        source.end()
    else:
        await source.kill()
    await until(lambda: pull.state is PullState.LOST)
    said = {line for line in ("relay ended", "relay lost") if line in logged(caplog)}
    assert said == {"relay ended" if ends else "relay lost"}


async def test_takeover_at_the_same_worker_keeps_the_relay(edge: Edge) -> None:
    source, recorder = await streaming(edge)
    route = await edge.claim(source)
    await turns()
    source.send("b", 5, first=5)
    await until(ends_with(recorder, "b-9"))
    assert len(source.orders) == 1
    target = edge.pull()._target
    assert target is not None
    assert target.epoch == route.epoch


async def test_route_that_moves_while_connecting_is_followed(edge: Edge) -> None:
    source, other = await edge.source(), await edge.source()
    source.send("a", 5)
    other.send("b", 5)
    await edge.claim(source)
    watching = asyncio.ensure_future(edge.watch())
    while not edge.streams._entries or edge.pull().state is not PullState.CONNECTING:
        await turns(1)
    await edge.claim(other)
    await watching
    await until(lambda: other.relays == 1 and not source.connections)


async def test_takeover_while_connecting_does_not_pass_for_the_session_that_fed_before(
    edge: Edge,
) -> None:
    _, recorder = await streaming(edge)
    other = await edge.source()
    other.send("b", 5)
    await edge.claim(other)
    while edge.pull().state is not PullState.CONNECTING:
        await turns(1)
    await edge.claim(other)
    await until(ends_with(recorder, "b-4"))
    assert recorder.frames == [f"a-{n}" for n in range(5)] + [f"b-{n}" for n in range(5)]
    assert all(before < after for before, after in itertools.pairwise(recorder.times))


async def test_missed_announcement_is_repaired_by_a_resync(edge: Edge) -> None:
    source, recorder = await streaming(edge)
    other = await edge.source()
    other.send("b", 5)
    listeners, edge.table.listeners = edge.table.listeners, set()
    await edge.claim(other)
    edge.table.listeners = listeners
    assert source.relays == 1
    edge.table.come_back()
    await until(ends_with(recorder, "b-4"))
    await until(lambda: not source.relays)


async def moves_unannounced(edge: Edge) -> None:
    """Lets another source have the stream; no announcement of it comes."""
    other = await edge.source()
    other.send("b", 5)
    edge.table.listeners.clear()
    await edge.claim(other)


@with_edge(recheck_s=0.05)
async def test_missed_announcement_is_repaired_by_the_periodic_check(edge: Edge) -> None:
    _, recorder = await streaming(edge)
    await moves_unannounced(edge)
    await until(ends_with(recorder, "b-4"))


@with_edge(recheck_s=60)
async def test_pulls_that_began_together_do_not_check_together(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor later than every ``recheck_s``."""
    drawn = []

    def shortest(least: float, most: float) -> float:
        drawn.append((least, most))
        return 0.05 / 60

    monkeypatch.setattr("edge.pull.uniform", shortest)
    _, recorder = await streaming(edge)
    await moves_unannounced(edge)
    await until(ends_with(recorder, "b-4"))
    await until(lambda: len(drawn) > 2)  # anew for each check
    assert set(drawn) == {(0.75, 1)}


async def test_grace_ends_for_all_viewers_at_once_and_without_a_word_before(edge: Edge) -> None:
    source, first = await streaming(edge)
    began = asyncio.get_running_loop().time()
    await source.kill()
    await until(lambda: edge.pull().state is PullState.LOST)
    late = Recorder(await edge.streams.acquire(order()))  # those who come meanwhile wait as well
    await until(lambda: bool(first.ended))
    assert first.ended == late.ended == ["stream_over"]
    assert asyncio.get_running_loop().time() - began >= edge.settings.edge.grace_s
    await until(lambda: not edge.streams._entries)
    with pytest.raises(StreamNotFound):
        await edge.watch()


async def test_viewer_that_comes_in_the_moment_the_grace_ends_waits_for_the_stream_anew(
    edge: Edge,
) -> None:
    source, recorder = await streaming(edge)
    await source.kill()
    came: list[asyncio.Task[Recorder]] = []
    found: list[LiveStream | None] = []

    def come() -> None:
        found.append(edge.streams.find(order()))
        came.append(asyncio.ensure_future(edge.watch()))

    recorder.on_end = come
    await until(lambda: bool(came))
    other = await edge.source()
    other.send("b", 5)
    await edge.claim(other)
    again = await came[0]
    await until(ends_with(again, "b-4"))
    assert found == [None]


async def test_source_that_dies_again_and_again_is_not_hurried(edge: Edge) -> None:
    source, _ = await streaming(edge)
    began = asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() - began < 0.5:
        for connection in source.connections:
            if source.relays:
                connection.abort("gone")
        await asyncio.sleep(0.001)
    # Without back-off it would be hundreds; pauses grow from 10 ms to 100 ms.
    assert len(source.orders) < 30


async def test_table_that_is_away_keeps_streams_running_and_known_ones_joinable(
    edge: Edge,
) -> None:
    source, recorder = await streaming(edge)
    edge.table.go_down()
    for connection in source.connections:
        connection.abort("cut")
    await until(lambda: not source.relays)
    await until(lambda: source.relays == 1)
    source.send("b", 1, first=5)
    await until(ends_with(recorder, "b-5"))
    late = await edge.watch()
    await until(ends_with(late, "b-5"))


async def test_publisher_that_moves_while_the_table_is_away_is_found_where_others_publish(
    edge: Edge,
) -> None:
    source, recorder = await streaming(edge)
    elsewhere = await edge.source()
    for n in range(3):  # nobody needs to watch these: their claims tell who is an origin
        await edge.claim(await edge.source(), StreamKey(f"live/other{n}"))
    await edge.claim(elsewhere, StreamKey("live/other"))
    edge.table.go_down()
    source.end()
    elsewhere.send("b", 5)
    await until(ends_with(recorder, "b-4"))
    # Whoever comes now is not sent through all of them again.
    asked = len(source.orders)
    elsewhere.end()
    elsewhere.send("c", 5)
    await until(ends_with(recorder, "c-4"))
    assert len(source.orders) == asked
    # The table is back and says where it is.
    edge.table.come_back()
    back = await edge.source()
    back.send("d", 5)
    await edge.claim(back)
    await until(ends_with(recorder, "d-4"))


async def test_nobody_else_is_asked_for_a_stream_while_the_table_answers(edge: Edge) -> None:
    source, recorder = await streaming(edge)
    elsewhere = await edge.source()
    await edge.claim(elsewhere, StreamKey("live/other"))
    elsewhere.send("b", 5)
    source.end()
    asked = len(source.orders)
    await until(lambda: len(source.orders) > asked + 3)
    assert not elsewhere.orders
    assert recorder.frames[-1] == "a-4"


@with_edge(grace_s=0.1)
async def test_viewers_of_a_stream_that_was_released_stay_if_the_table_goes_away_meanwhile(
    edge: Edge,
) -> None:
    source, recorder = await streaming(edge)
    pull = edge.pull()
    await edge.directory.release(edge.table.leases[STREAM].route)
    await until(lambda: edge.locator.announced(STREAM) is None)
    edge.table.go_down()
    source.end()
    await until(lambda: not edge.locator.directory_ok)
    await asyncio.sleep(2 * edge.settings.edge.grace_s)  # shall not be over
    assert not recorder.ended
    edge.table.come_back()
    await until(lambda: pull.over)
    assert recorder.ended


@with_edge(grace_s=0.1)
async def test_viewers_of_a_stream_that_is_nowhere_to_be_found_stay_until_the_table_is_back(
    edge: Edge,
) -> None:
    source, recorder = await streaming(edge)
    edge.table.go_down()
    await source.kill()
    await asyncio.sleep(2 * edge.settings.edge.grace_s)  # shall not be over
    assert not recorder.ended
    edge.table.come_back()
    source = await edge.source()
    source.send("b", 5)
    await edge.claim(source)
    await until(ends_with(recorder, "b-4"))
    edge.table.go_down()
    source.end()
    edge.table.flush()
    edge.table.come_back()
    await until(lambda: recorder.ended == ["stream_over"])
