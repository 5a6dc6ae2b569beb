"""One relay of a pull, left or cancelled in any moment. Its source is a real RTMP server."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from time import monotonic

import pytest

from common.relay.upstream import Upstream, UpstreamAddress, UpstreamTimes, open_upstream
from edge.relay import Relay
from tests.support.black_hole import black_hole
from tests.support.sources import Source, running_source
from tests.support.spine import STREAM, quick_settings, turns
from tests.support.wait import until

SETTINGS = quick_settings()
TIMES = UpstreamTimes(connect_s=60, first_media_s=60, silence_s=60)


@pytest.fixture
async def source() -> AsyncIterator[Source]:
    async with running_source(SETTINGS) as running:
        running.send("a", 1)
        yield running


async def connect(address: str) -> Upstream:
    return await open_upstream(
        UpstreamAddress.parse(address),
        STREAM,
        limits=SETTINGS.rtmp.limits(),
        times=TIMES,
        properties={},
        on_media=lambda media: None,
        on_first_media=lambda: None,
        on_round_trip=lambda seconds: None,
    )


async def test_attempt_that_gets_no_answer_is_left_at_once() -> None:
    relay = Relay()
    with black_hole() as address:
        running = asyncio.ensure_future(relay.run(partial(connect, address), lambda: None))
        await turns()
        assert (relay.is_under_way, relay.is_connected) == (True, False)
        began = monotonic()
        relay.leave()
        relay.leave()  # harmless
        assert not relay.is_under_way
        assert (await running).reason == "left"
    assert monotonic() - began < 1


@pytest.mark.parametrize("count", range(1, 16))
@pytest.mark.parametrize("how", ["left", "cancelled"])
async def test_no_socket_stays_open_in_whatever_turn_it_ends(
    source: Source, how: str, count: int
) -> None:
    """The first turns fall into the attempt, the last ones behind it."""
    relay = Relay()
    running = asyncio.ensure_future(relay.run(partial(connect, source.address), lambda: None))
    await turns(count)
    if how == "left":
        relay.leave()
        assert (await running).reason == "left"
    else:
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert not relay.is_under_way
    # Whoever comes next is taken behind it, so it is known whether that one is still there.
    last = await connect(source.address)
    # The end of the one before may still be read after it, within the same turn of the loop.
    await until(lambda: source.relays == 1 and len(source.connections) == 1)
    last.close()


async def test_it_ends_as_its_source_does_and_counts_its_bytes(source: Source) -> None:
    relay = Relay()
    connected: list[bool] = []
    running = asyncio.ensure_future(
        relay.run(partial(connect, source.address), lambda: connected.append(relay.is_connected))
    )
    await until(lambda: source.relays == 1)
    source.end()
    assert (await running).reason == "ended"
    assert connected == [True]
    assert relay.bytes_in > 0
    assert not relay.is_under_way
