"""What the model test cannot see: how the table lies in Redis, and what it survives there."""

import asyncio
import logging
from dataclasses import replace

import msgpack
import pytest
from redis.asyncio import Redis

from common.cluster.codec import encode_claim
from common.cluster.keys import Keys
from common.cluster.records import NodeState, Renewal
from common.cluster.redis_directory import RedisDirectory
from common.config.model import LeaseSettings, PublisherPolicy, RedisSettings
from common.errors import DirectoryUnavailable, StreamTaken
from common.ids import NodeId, StreamKey
from common.local.redis_server import RedisServer
from tests.support.cluster import STREAM, make_claim, make_load, make_node
from tests.support.logged import logged
from tests.support.redis import redis_settings_for

pytestmark = pytest.mark.integration

TAKEOVER, REJECT = PublisherPolicy.TAKEOVER, PublisherPolicy.REJECT


@pytest.fixture
def keys(redis_settings: RedisSettings) -> Keys:
    return Keys(redis_settings.key_prefix)


async def test_a_route_lives_as_long_as_its_lease_and_its_epoch_a_day_longer(
    redis_settings: RedisSettings, raw_redis: Redis, keys: Keys
) -> None:
    directory = RedisDirectory(redis_settings, LeaseSettings(ttl_s=100, renew_s=30))
    await directory.claim(make_claim(), TAKEOVER)
    assert 95_000 < await raw_redis.pttl(keys.route(STREAM)) <= 100_000
    assert 86_495_000 < await raw_redis.pttl(keys.epoch(STREAM)) <= 86_500_000
    await directory.put_node(make_node(), make_load())
    for key in (keys.node(make_node().id), keys.load(make_node().id)):
        assert 95_000 < await raw_redis.pttl(key) <= 100_000
    await directory.close()


async def test_a_renewal_prolongs_the_lease_and_writes_the_record_anew(
    redis_directory: RedisDirectory, raw_redis: Redis, keys: Keys
) -> None:
    route = await redis_directory.claim(make_claim(), TAKEOVER)
    await raw_redis.pexpire(keys.route(STREAM), 500)
    known = replace(route, claim=make_claim(codecs=("avc1", "mp4a")))
    assert await redis_directory.renew([known]) == [Renewal.KEPT]
    assert await raw_redis.pttl(keys.route(STREAM)) > 500
    assert await redis_directory.lookup(STREAM) == known


async def test_leases_are_prolonged_in_a_redis_that_is_full() -> None:
    async with RedisServer() as server, Redis.from_url(server.url) as raw:
        settings = redis_settings_for(server.url)
        keys = Keys(settings.key_prefix)
        directory = RedisDirectory(settings, LeaseSettings())
        route = await directory.claim(make_claim(), TAKEOVER)
        await raw.pexpire(keys.route(STREAM), 5_000)
        await raw.pexpire(keys.epoch(STREAM), 5_000)
        await raw.config_set("maxmemory", "1")
        assert await directory.renew([route]) == [Renewal.KEPT]
        assert await raw.pttl(keys.route(STREAM)) > 5_000
        assert await raw.pttl(keys.epoch(STREAM)) > 80_000_000
        with pytest.raises(DirectoryUnavailable, match="maxmemory"):
            await directory.claim(make_claim("live/other"), TAKEOVER)
        await directory.close()


async def test_of_many_who_claim_at_once_one_gets_the_stream(
    redis_directory: RedisDirectory,
) -> None:
    claims = [make_claim(owner=f"origin-{n}/0/x") for n in range(50)]
    answers = await asyncio.gather(
        *(redis_directory.claim(claim, REJECT) for claim in claims), return_exceptions=True
    )
    winners = [answer for answer in answers if not isinstance(answer, StreamTaken)]
    assert winners == [await redis_directory.lookup(STREAM)]


async def test_of_many_who_take_over_at_once_the_highest_epoch_holds_the_stream(
    redis_directory: RedisDirectory,
) -> None:
    claims = [make_claim(owner=f"origin-{n}/0/x") for n in range(50)]
    routes = await asyncio.gather(*(redis_directory.claim(one, TAKEOVER) for one in claims))
    assert len({route.epoch for route in routes}) == 50
    newest = max(routes, key=lambda route: route.epoch)
    assert await redis_directory.lookup(STREAM) == newest
    answers = await redis_directory.renew(routes)
    assert [answer is Renewal.KEPT for answer in answers] == [one == newest for one in routes]


async def test_epochs_grow_when_the_counter_is_ahead_of_the_clock(
    redis_directory: RedisDirectory, raw_redis: Redis, keys: Keys
) -> None:
    far_ahead = 2**52
    await raw_redis.set(keys.epoch(STREAM), far_ahead)
    route = await redis_directory.claim(make_claim(), TAKEOVER)
    assert route.epoch == far_ahead + 1
    assert await redis_directory.lookup(STREAM) == route


async def test_epochs_grow_when_the_counter_is_lost(
    redis_directory: RedisDirectory, raw_redis: Redis, keys: Keys
) -> None:
    before = await redis_directory.claim(make_claim(), TAKEOVER)
    await raw_redis.delete(keys.route(STREAM), keys.epoch(STREAM))
    await raw_redis.set(keys.epoch(STREAM), "rubbish")
    seconds, _ = await raw_redis.time()
    after = await redis_directory.claim(make_claim(owner="origin-2/0/b"), TAKEOVER)
    assert after.epoch >= before.epoch
    assert after.epoch >= seconds * 1000


async def test_two_leases_of_one_epoch_leave_one_holder(
    redis_directory: RedisDirectory, raw_redis: Redis, keys: Keys
) -> None:
    ours = await redis_directory.claim(make_claim(), TAKEOVER)
    # A flush and a second claim within the millisecond of the first.
    theirs = replace(ours, claim=make_claim(owner="origin-2/0/b"))
    await raw_redis.delete(keys.route(STREAM), keys.epoch(STREAM))
    assert await redis_directory.renew([theirs]) == [Renewal.RESTORED]
    assert await redis_directory.renew([ours, theirs]) == [Renewal.LOST, Renewal.KEPT]


async def test_a_renewal_that_comes_after_the_release_does_not_bring_the_lease_back(
    redis_directory: RedisDirectory,
) -> None:
    route = await redis_directory.claim(make_claim(), TAKEOVER)
    assert await redis_directory.release(route)
    assert await redis_directory.renew([route]) == [Renewal.LOST]
    assert await redis_directory.lookup(STREAM) is None


async def test_the_next_claim_after_a_release_has_a_higher_epoch(
    redis_directory: RedisDirectory,
) -> None:
    before = await redis_directory.claim(make_claim(), TAKEOVER)
    await redis_directory.release(before)
    after = await redis_directory.claim(make_claim(), REJECT)
    assert after.epoch > before.epoch


async def test_scripts_are_sent_again_when_redis_has_forgotten_them(
    redis_directory: RedisDirectory, raw_redis: Redis
) -> None:
    await raw_redis.script_flush()
    route = await redis_directory.claim(make_claim(), TAKEOVER)
    await raw_redis.script_flush()
    assert await redis_directory.renew([route] * 3) == [Renewal.KEPT] * 3
    await raw_redis.script_flush()
    assert await redis_directory.release(route)


async def test_renewing_nothing_asks_nothing(redis_directory: RedisDirectory) -> None:
    assert await redis_directory.renew([]) == []


async def test_a_thousand_leases_are_renewed_in_order(redis_directory: RedisDirectory) -> None:
    claims = [make_claim(f"live/{n}") for n in range(1000)]
    routes = [await redis_directory.claim(one, TAKEOVER) for one in claims[:500]]
    lost = [replace(routes[0], claim=one, epoch=1) for one in claims[:500]]
    both = [route for pair in zip(routes, lost, strict=True) for route in pair]
    assert await redis_directory.renew(both) == [Renewal.KEPT, Renewal.LOST] * 500
    assert await redis_directory.routes() == sorted(routes, key=lambda route: route.stream)


CLAIM = encode_claim(make_claim())


@pytest.mark.parametrize(
    "stored",
    [
        {"epoch": "5", "claim": b"\xff\x00"},
        {"epoch": "5", "claim": msgpack.packb({"v": 99})},
        {"epoch": "5"},
        {"claim": CLAIM},
        {"epoch": "five", "claim": CLAIM},
        {"epoch": "-5", "claim": CLAIM},
        {"epoch": "9" * 5000, "claim": CLAIM},
    ],
    ids=["not msgpack", "newer", "no claim", "no epoch", "text", "negative", "huge"],
)
async def test_a_route_that_cannot_be_read_counts_as_none_and_is_logged(
    redis_directory: RedisDirectory,
    raw_redis: Redis,
    keys: Keys,
    caplog: pytest.LogCaptureFixture,
    stored: dict[str, str | bytes],
) -> None:
    await raw_redis.hset(keys.route(STREAM), mapping=stored)
    with caplog.at_level(logging.WARNING):
        assert await redis_directory.lookup(STREAM) is None
    assert keys.route(STREAM) in logged(caplog)
    assert await redis_directory.routes() == []
    # and the next claim makes it good
    route = await redis_directory.claim(make_claim(), TAKEOVER)
    assert await redis_directory.lookup(STREAM) == route


async def test_keys_of_a_wrong_type_count_as_none(
    redis_directory: RedisDirectory, raw_redis: Redis, keys: Keys
) -> None:
    node = NodeId("node")
    await raw_redis.set(keys.route(STREAM), "text")
    await raw_redis.set(keys.node(node), "text")
    await raw_redis.hset(keys.load(node), "a", "b")
    assert await redis_directory.lookup(STREAM) is None
    assert await redis_directory.routes() == []
    assert await redis_directory.nodes() == []
    assert await redis_directory.loads() == []


async def test_a_holder_whose_record_is_newer_than_we_can_read_is_still_respected(
    redis_directory: RedisDirectory, raw_redis: Redis, keys: Keys
) -> None:
    await redis_directory.claim(make_claim(), TAKEOVER)
    await raw_redis.hset(keys.route(STREAM), "claim", msgpack.packb({"v": 99}))
    with pytest.raises(StreamTaken, match="origin-1"):
        await redis_directory.claim(make_claim(owner="origin-2/0/b"), REJECT)


async def test_clusters_with_different_prefixes_do_not_see_each_other(
    redis_directory: RedisDirectory, redis_settings: RedisSettings
) -> None:
    changed = redis_settings.model_copy(update={"key_prefix": redis_settings.key_prefix + "x"})
    other = RedisDirectory(changed, LeaseSettings())
    await redis_directory.claim(make_claim(), REJECT)
    await redis_directory.put_node(make_node(state=NodeState.DRAINING), make_load())
    assert await other.lookup(STREAM) is None
    assert await other.routes() == []
    assert await other.nodes() == []
    await other.close()


async def test_more_calls_at_once_than_connections_wait_their_turn(
    redis_directory: RedisDirectory, redis_settings: RedisSettings, raw_redis: Redis
) -> None:
    await redis_directory.claim(make_claim(), TAKEOVER)
    streams = [STREAM, StreamKey("live/none")] * 200
    found = await asyncio.gather(*(redis_directory.lookup(stream) for stream in streams))
    assert [route is not None for route in found] == [True, False] * 200
