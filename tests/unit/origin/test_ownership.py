"""Leases of one worker, against a table in memory that others share."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from common.clock import ManualClock
from common.cluster import announcements
from common.cluster.memory import MemoryDirectory, MemoryTable
from common.cluster.records import Claim, ClusterEvent, EventKind
from common.config.model import LeaseSettings, PublisherPolicy
from common.errors import StreamTaken
from origin.lease import Lease
from origin.ownership import LeaseKeeper
from tests.support.cluster import STREAM, make_claim
from tests.support.spine import turns
from tests.support.wait import until
from tests.support.watched_directory import WatchedDirectory

TAKEOVER, REJECT = PublisherPolicy.TAKEOVER, PublisherPolicy.REJECT
MINE = make_claim(owner="me/0/aa")
MINE_TOO = make_claim(owner="me/0/bb")
THEIRS = make_claim(owner="they/0/cc")


class Holder:
    def __init__(self) -> None:
        self.lost: list[str] = []
        self.known_codecs: tuple[str, ...] = ()

    def codecs(self) -> tuple[str, ...]:
        return self.known_codecs

    def lease_lost(self, reason: str) -> None:
        self.lost.append(reason)


@pytest.fixture
def table() -> MemoryTable:
    return MemoryTable()


@pytest.fixture
def directory(table: MemoryTable) -> WatchedDirectory:
    return WatchedDirectory(table)


@pytest.fixture
def others(table: MemoryTable) -> WatchedDirectory:
    return WatchedDirectory(table)


@pytest.fixture
async def keeper(directory: MemoryDirectory) -> AsyncIterator[LeaseKeeper]:
    keeper = LeaseKeeper(directory, LeaseSettings(renew_s=0.02))
    keeper.start()
    await turns()
    yield keeper
    await keeper.close()


@pytest.fixture
async def deaf(directory: MemoryDirectory) -> LeaseKeeper:
    """A keeper that neither listens nor renews by itself."""
    return LeaseKeeper(directory, LeaseSettings())


def owner_in(table: MemoryTable) -> str | None:
    held = table.leases.get(STREAM)
    return held.route.claim.owner if held else None


async def acquire(
    keeper: LeaseKeeper, claim: Claim = MINE, policy: PublisherPolicy = TAKEOVER
) -> tuple[Lease, Holder]:
    holder = Holder()
    return await keeper.acquire(claim, policy, holder), holder


async def test_claim_is_in_the_table_and_out_of_it_when_released(
    keeper: LeaseKeeper, table: MemoryTable
) -> None:
    lease, holder = await acquire(keeper)
    assert owner_in(table) == MINE.owner
    assert lease.epoch > 0
    keeper.release(lease)
    await until(lambda: owner_in(table) is None)
    assert not holder.lost


async def test_close_gives_up_what_is_held_and_what_is_just_being_released(
    keeper: LeaseKeeper, directory: WatchedDirectory, table: MemoryTable
) -> None:
    await acquire(keeper, make_claim("live/held"))
    lease, _ = await acquire(keeper)
    keeper.release(lease)
    await keeper.close()
    assert not table.leases


async def test_codecs_are_written_with_the_next_renewal(
    keeper: LeaseKeeper, directory: WatchedDirectory
) -> None:
    _, holder = await acquire(keeper)
    holder.known_codecs = ("avc1",)

    async def is_written() -> bool:
        route = await directory.lookup(STREAM)
        return route is not None and route.claim.codecs == ("avc1",)

    await until(is_written)


@pytest.mark.parametrize("listens", [True, False])
async def test_lease_that_another_took_is_lost(
    keeper: LeaseKeeper, others: WatchedDirectory, table: MemoryTable, listens: bool
) -> None:
    _, holder = await acquire(keeper)
    if not listens:
        table.listeners.clear()  # the announcement is missed, the renewal finds out
    await others.claim(THEIRS, TAKEOVER)
    await until(lambda: bool(holder.lost))
    assert holder.lost == ["taken_over"]
    assert owner_in(table) == THEIRS.owner


async def test_release_after_a_takeover_leaves_the_new_owner_alone(
    keeper: LeaseKeeper, others: WatchedDirectory, table: MemoryTable, directory: WatchedDirectory
) -> None:
    lease, holder = await acquire(keeper)
    await others.claim(THEIRS, TAKEOVER)
    await until(lambda: bool(holder.lost))
    keeper.release(lease)
    await turns()
    assert owner_in(table) == THEIRS.owner
    assert directory.calls["release"] == 0


async def test_taken_stream_is_refused(keeper: LeaseKeeper, others: WatchedDirectory) -> None:
    await others.claim(THEIRS, REJECT)
    with pytest.raises(StreamTaken):
        await acquire(keeper, policy=REJECT)


async def test_publisher_that_goes_before_the_answer_leaves_nothing_in_the_table(
    keeper: LeaseKeeper, directory: WatchedDirectory, table: MemoryTable
) -> None:
    with directory.held("claim"):
        claiming = asyncio.ensure_future(acquire(keeper))
        await until(lambda: owner_in(table) == MINE.owner)
        claiming.cancel()
        await asyncio.wait({claiming})
    await until(lambda: owner_in(table) is None)


async def test_close_waits_for_the_answer_that_a_gone_publisher_did_not(
    keeper: LeaseKeeper, directory: WatchedDirectory, table: MemoryTable
) -> None:
    with directory.held("claim"):
        claiming = asyncio.ensure_future(acquire(keeper))
        await until(lambda: owner_in(table) == MINE.owner)
        claiming.cancel()
        closing = asyncio.ensure_future(keeper.close())
        await turns()
        assert not closing.done()
    await closing
    assert not table.leases


async def test_former_publisher_is_told_when_one_that_took_over_is_gone_before_the_answer(
    keeper: LeaseKeeper, directory: WatchedDirectory, table: MemoryTable
) -> None:
    _, former = await acquire(keeper)
    with directory.held("claim"):
        claiming = asyncio.ensure_future(acquire(keeper, MINE_TOO))
        await until(lambda: owner_in(table) == MINE_TOO.owner)
        claiming.cancel()
        await asyncio.wait({claiming})
    await until(lambda: bool(former.lost))
    await until(lambda: owner_in(table) is None)


async def test_takeover_in_the_same_worker_is_not_taken_for_a_loss(
    keeper: LeaseKeeper, directory: WatchedDirectory, table: MemoryTable
) -> None:
    _, former = await acquire(keeper)
    renewals = directory.calls["renew"]
    with directory.held("claim"):
        claiming = asyncio.ensure_future(acquire(keeper, MINE_TOO))
        # Announced, and refused at renewals, before the worker knows that it has it itself.
        await until(lambda: directory.calls["renew"] > renewals + 2)
    _, latter = await claiming
    await until(lambda: directory.calls["renew"] > renewals + 6)
    assert former.lost == latter.lost == []
    assert owner_in(table) == MINE_TOO.owner


async def test_crossed_answers_leave_the_later_claim(
    deaf: LeaseKeeper, directory: WatchedDirectory, table: MemoryTable
) -> None:
    with directory.held("claim"):
        first = asyncio.ensure_future(acquire(deaf, MINE))
        await until(lambda: owner_in(table) == MINE.owner)
        held = directory._gates.pop("claim")
        await acquire(deaf, MINE_TOO)
        directory._gates["claim"] = held
    with pytest.raises(StreamTaken):
        await first
    assert owner_in(table) == MINE_TOO.owner
    await deaf.close()


async def test_publisher_that_comes_back_waits_for_its_own_release(
    keeper: LeaseKeeper, directory: WatchedDirectory, table: MemoryTable
) -> None:
    lease, _ = await acquire(keeper, policy=REJECT)
    with directory.held("release"):
        keeper.release(lease)
        again = asyncio.ensure_future(acquire(keeper, MINE_TOO, REJECT))
        await turns()
        assert not again.done()
    await again
    assert owner_in(table) == MINE_TOO.owner


async def test_stream_that_is_lost_while_it_is_claimed_is_refused_at_once(
    keeper: LeaseKeeper,
    directory: WatchedDirectory,
    others: WatchedDirectory,
    table: MemoryTable,
) -> None:
    with directory.held("claim"):
        claiming = asyncio.ensure_future(acquire(keeper))
        await until(lambda: owner_in(table) == MINE.owner)
        await others.claim(THEIRS, TAKEOVER)
        await turns()
    with pytest.raises(StreamTaken) as refusal:
        await claiming
    assert refusal.value.holder == THEIRS.node
    assert owner_in(table) == THEIRS.owner


async def test_missed_loss_while_claiming_is_found_at_the_next_renewal(
    keeper: LeaseKeeper,
    directory: WatchedDirectory,
    others: WatchedDirectory,
    table: MemoryTable,
) -> None:
    table.listeners.clear()
    with directory.held("claim"):
        claiming = asyncio.ensure_future(acquire(keeper))
        await until(lambda: owner_in(table) == MINE.owner)
        await others.claim(THEIRS, TAKEOVER)
    _, holder = await claiming
    await until(lambda: holder.lost == ["taken_over"])


@pytest.fixture
async def slow(directory: MemoryDirectory) -> AsyncIterator[LeaseKeeper]:
    """A keeper that listens, but renews only when there is a reason."""
    keeper = LeaseKeeper(directory, LeaseSettings(ttl_s=1000, renew_s=300))
    keeper.start()
    await until(lambda: not keeper._renew_now.is_set())
    await turns()
    yield keeper
    await keeper.close()


async def test_holder_is_told_at_once_when_a_third_party_wins_over_a_claim_here(
    slow: LeaseKeeper,
    directory: WatchedDirectory,
    others: WatchedDirectory,
    table: MemoryTable,
) -> None:
    _, former = await acquire(slow)
    with directory.held("claim"):
        claiming = asyncio.ensure_future(acquire(slow, MINE_TOO))
        await until(lambda: owner_in(table) == MINE_TOO.owner)
        await others.claim(THEIRS, TAKEOVER)
        await until(lambda: bool(former.lost), timeout_s=1)
    with pytest.raises(StreamTaken):
        await claiming
    assert owner_in(table) == THEIRS.owner


async def test_holder_is_told_at_once_when_who_took_over_here_is_gone_before_the_answer(
    slow: LeaseKeeper, directory: WatchedDirectory, table: MemoryTable
) -> None:
    _, former = await acquire(slow)
    with directory.held("claim"):
        claiming = asyncio.ensure_future(acquire(slow, MINE_TOO))
        await until(lambda: owner_in(table) == MINE_TOO.owner)
        await turns()
        claiming.cancel()
    await until(lambda: bool(former.lost), timeout_s=1)
    await until(lambda: owner_in(table) is None, timeout_s=1)


async def test_provisional_lease_that_loses_while_it_is_claimed_is_lost_at_once(
    slow: LeaseKeeper, directory: WatchedDirectory, others: WatchedDirectory, table: MemoryTable
) -> None:
    table.go_down()
    _, holder = await acquire(slow)
    with directory.held("claim"):
        table.come_back()
        await until(lambda: owner_in(table) == MINE.owner)
        await others.claim(THEIRS, TAKEOVER)
        await turns()
    await until(lambda: holder.lost == ["taken"], timeout_s=1)


async def test_release_that_failed_is_repeated_when_the_table_is_back(
    slow: LeaseKeeper, table: MemoryTable
) -> None:
    lease, _ = await acquire(slow)
    table.go_down()
    slow.release(lease)
    await turns()
    assert owner_in(table) == MINE.owner
    table.come_back()
    await until(lambda: owner_in(table) is None, timeout_s=1)
    assert slow.directory_ok


async def test_publisher_that_comes_back_is_not_refused_for_its_own_unheard_release(
    deaf: LeaseKeeper, table: MemoryTable
) -> None:
    lease, _ = await acquire(deaf, policy=REJECT)
    table.go_down()
    deaf.release(lease)
    await turns()
    table.reachable = True
    await acquire(deaf, MINE_TOO, REJECT)
    assert owner_in(table) == MINE_TOO.owner
    await deaf._renew()  # the old release does no harm
    assert owner_in(table) == MINE_TOO.owner
    await deaf.close()


async def test_provisional_lease_is_not_lost_to_an_unheard_release_of_this_worker(
    slow: LeaseKeeper, table: MemoryTable
) -> None:
    lease, _ = await acquire(slow, policy=REJECT)
    table.go_down()
    slow.release(lease)
    await turns()
    again, holder = await acquire(slow, MINE_TOO, REJECT)
    assert again.epoch == 0
    table.come_back()
    await until(lambda: again.epoch > 0, timeout_s=1)
    assert not holder.lost
    assert owner_in(table) == MINE_TOO.owner


async def test_release_that_has_run_out_by_itself_is_not_repeated(
    directory: WatchedDirectory, table: MemoryTable
) -> None:
    clock = ManualClock()
    keeper = LeaseKeeper(directory, LeaseSettings(), clock.monotonic)
    lease, _ = await acquire(keeper)
    table.go_down()
    keeper.release(lease)
    await turns()
    table.reachable = True
    clock.advance(11)
    await keeper._renew()
    assert directory.calls["release"] == 1
    assert keeper._releases.unheard_epoch(STREAM) == 0
    await keeper.close()


class Sleeper:
    """A keeper whose worker can be put to sleep."""

    def __init__(self, directory: WatchedDirectory) -> None:
        self.clock = ManualClock()
        self.keeper = LeaseKeeper(directory, LeaseSettings(), self.clock.monotonic)


@pytest.fixture
async def sleeper(directory: WatchedDirectory) -> AsyncIterator[Sleeper]:
    sleeper = Sleeper(directory)
    sleeper.keeper.start()
    await turns()
    yield sleeper
    await sleeper.keeper.close()


async def test_worker_that_slept_asks_before_it_serves(
    sleeper: Sleeper, directory: WatchedDirectory, others: WatchedDirectory, table: MemoryTable
) -> None:
    keeper = sleeper.keeper
    _, holder = await acquire(keeper)
    assert keeper.trusted
    table.listeners.clear()
    await others.claim(THEIRS, TAKEOVER)
    with directory.held("renew"):
        sleeper.clock.advance(20)
        assert not keeper.trusted
        waiting = asyncio.ensure_future(keeper.until_trusted())
        await until(lambda: directory.calls["renew"] == 1, timeout_s=1)
        assert not keeper.trusted
        assert not waiting.done()
    await waiting
    assert holder.lost == ["taken_over"]
    assert keeper.trusted


async def test_answer_to_what_was_asked_before_the_sleep_proves_nothing(
    sleeper: Sleeper, directory: WatchedDirectory
) -> None:
    keeper = sleeper.keeper
    await acquire(keeper)
    with directory.held("renew"):
        keeper._renew_now.set()
        await until(lambda: directory.calls["renew"] == 1, timeout_s=1)
        sleeper.clock.advance(20)
    await until(lambda: directory.calls["renew"] == 2, timeout_s=1)
    await keeper.until_trusted()


async def test_worker_that_slept_serves_on_when_the_table_is_away(
    sleeper: Sleeper, table: MemoryTable
) -> None:
    keeper = sleeper.keeper
    _, holder = await acquire(keeper)
    table.go_down()
    sleeper.clock.advance(20)
    assert not keeper.trusted
    await asyncio.wait_for(keeper.until_trusted(), 1)
    assert not holder.lost


async def test_short_pause_is_no_sleep(sleeper: Sleeper) -> None:
    sleeper.clock.advance(6)
    assert sleeper.keeper.trusted


async def test_provisional_lease_is_claimed_when_the_table_is_back(
    keeper: LeaseKeeper, table: MemoryTable
) -> None:
    table.go_down()
    lease, holder = await acquire(keeper)
    assert lease.epoch == 0
    assert not keeper.directory_ok
    table.come_back()
    await until(lambda: lease.epoch > 0)
    await until(lambda: keeper.directory_ok)
    assert owner_in(table) == MINE.owner
    assert not holder.lost


async def test_provisional_lease_is_lost_to_a_holder_that_may_keep_it(
    keeper: LeaseKeeper, others: WatchedDirectory, table: MemoryTable
) -> None:
    await others.claim(THEIRS, REJECT)
    table.go_down()
    _, holder = await acquire(keeper, policy=REJECT)
    table.come_back()
    await until(lambda: holder.lost == ["taken"])
    assert owner_in(table) == THEIRS.owner


async def test_provisional_lease_released_while_it_is_claimed_leaves_nothing(
    keeper: LeaseKeeper, directory: WatchedDirectory, table: MemoryTable
) -> None:
    table.go_down()
    lease, _ = await acquire(keeper)
    with directory.held("claim"):
        table.come_back()
        await until(lambda: owner_in(table) == MINE.owner)
        keeper.release(lease)
    await until(lambda: owner_in(table) is None)


async def test_one_of_two_provisional_leases_wins(
    keeper: LeaseKeeper, table: MemoryTable, others: WatchedDirectory
) -> None:
    other = LeaseKeeper(others, LeaseSettings(renew_s=0.02))
    other.start()
    table.go_down()
    _, ours = await acquire(keeper, MINE)
    _, theirs = await acquire(other, THEIRS)
    table.come_back()
    await until(lambda: len(ours.lost) + len(theirs.lost) == 1)
    await until(lambda: owner_in(table) == (MINE if theirs.lost else THEIRS).owner)
    await other.close()


@pytest.mark.parametrize("newer_is_first", [False, True])
async def test_newest_publisher_wins_after_an_outage_whoever_is_first_at_the_table(
    directory: WatchedDirectory, others: WatchedDirectory, table: MemoryTable, newer_is_first: bool
) -> None:
    clock = ManualClock()
    old, new = (LeaseKeeper(each, LeaseSettings(), clock.monotonic) for each in (directory, others))
    table.go_down()
    _, older = await acquire(old, MINE)
    clock.advance(5)
    _, newer = await acquire(new, THEIRS)
    table.reachable = True
    for keeper in (new, old) if newer_is_first else (old, new):
        await keeper._renew()
    await old._renew()  # which tells who was not told before
    assert older.lost
    assert not newer.lost
    assert owner_in(table) == THEIRS.owner
    await old.close()
    await new.close()


async def test_publisher_that_came_after_the_outage_is_not_thrown_out_by_one_from_before_its_end(
    deaf: LeaseKeeper, others: WatchedDirectory, table: MemoryTable
) -> None:
    table.go_down()
    lease, older = await acquire(deaf)
    lease.since -= 5
    table.reachable = True
    route = await others.claim(THEIRS, TAKEOVER)
    await deaf._renew()
    assert older.lost == ["taken"]
    assert table.leases[STREAM].route == route
    await deaf.close()


async def test_second_publisher_is_refused_by_policy_though_the_table_is_away(
    keeper: LeaseKeeper, table: MemoryTable
) -> None:
    _, first = await acquire(keeper, policy=REJECT)
    table.go_down()
    with pytest.raises(StreamTaken):
        await acquire(keeper, MINE_TOO, REJECT)
    assert not first.lost
    await acquire(keeper, MINE_TOO, TAKEOVER)


async def test_table_that_is_away_is_not_taken_for_back_while_nothing_is_held(
    keeper: LeaseKeeper, table: MemoryTable
) -> None:
    table.go_down()
    lease, _ = await acquire(keeper)
    keeper.release(lease)
    renewing = keeper._renew_now
    renewing.set()
    await until(lambda: not renewing.is_set())
    await turns()
    assert not keeper.directory_ok


async def test_provisional_leases_wait_for_one_deadline_together(
    deaf: LeaseKeeper, directory: WatchedDirectory, table: MemoryTable
) -> None:
    table.go_down()
    for number in range(50):
        await acquire(deaf, make_claim(f"live/{number}"))
    table.come_back()
    claims = directory.calls["claim"]
    with directory.held("claim"):
        renewal = asyncio.ensure_future(deaf._renew())
        await until(lambda: directory.calls["claim"] == claims + 50)
    await renewal


async def test_part_of_the_table_that_is_away_hides_nothing_of_the_rest(
    deaf: LeaseKeeper, directory: WatchedDirectory, others: WatchedDirectory, table: MemoryTable
) -> None:
    given_up, _ = await acquire(deaf, make_claim("live/left"))
    away, holder_away = await acquire(deaf, make_claim("live/away"))
    _, taken = await acquire(deaf, make_claim("live/taken"))
    table.go_down()
    provisional, _ = await acquire(deaf, make_claim("live/new"))
    deaf.release(given_up)
    await deaf._releases.finish()
    table.come_back()
    await others.claim(make_claim("live/taken", owner=THEIRS.owner), TAKEOVER)
    table.away.add(away.claim.stream)
    await deaf._renew()
    assert taken.lost == ["taken_over"]
    assert provisional.route is not None
    assert given_up.claim.stream not in table.leases
    assert not holder_away.lost
    assert not deaf.directory_ok
    table.away.clear()
    await deaf._renew()
    assert deaf.directory_ok


async def test_flushed_table_is_refilled(keeper: LeaseKeeper, table: MemoryTable) -> None:
    await acquire(keeper)
    await acquire(keeper, make_claim("live/other"))
    table.flush()
    await until(lambda: len(table.leases) == 2)


async def test_resync_renews_at_once(directory: WatchedDirectory, table: MemoryTable) -> None:
    keeper = LeaseKeeper(directory, LeaseSettings())  # renews every 3 s
    keeper.start()
    await acquire(keeper)
    table.flush()
    table.announce(ClusterEvent(kind=EventKind.RESYNC))
    await until(lambda: owner_in(table) == MINE.owner, timeout_s=1)
    await keeper.close()


async def test_kick_ends_the_lease(
    keeper: LeaseKeeper, others: WatchedDirectory, table: MemoryTable
) -> None:
    _, holder = await acquire(keeper)
    await others.kick(STREAM)
    await until(lambda: holder.lost == ["kicked"])
    await until(lambda: owner_in(table) is None)


async def test_kick_of_a_stream_that_is_not_here_is_harmless(
    keeper: LeaseKeeper, others: WatchedDirectory
) -> None:
    await others.kick(STREAM)
    await turns()
    _, holder = await acquire(keeper)
    await turns()
    assert not holder.lost


async def test_holder_that_fails_ends_neither_listening_nor_renewing(
    keeper: LeaseKeeper, others: WatchedDirectory, table: MemoryTable
) -> None:
    class Broken(Holder):
        def lease_lost(self, reason: str) -> None:
            super().lease_lost(reason)
            raise RuntimeError("a bug")

    for listens in (True, False):
        broken = Broken()
        await keeper.acquire(MINE, TAKEOVER, broken)
        if not listens:
            table.listeners.clear()
        await others.claim(THEIRS, TAKEOVER)
        await until(lambda broken=broken: bool(broken.lost))
    _, holder = await acquire(keeper)
    table.flush()
    await until(lambda: owner_in(table) == MINE.owner)
    assert not holder.lost


async def test_errors_that_nobody_expects_end_neither_listening_nor_renewing(
    directory: WatchedDirectory,
    others: WatchedDirectory,
    table: MemoryTable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(announcements, "PAUSE_S", 0.01)
    directory.failures = [ValueError("listening"), KeyError("listening")]
    keeper = LeaseKeeper(directory, LeaseSettings(renew_s=0.02))
    keeper.start()
    await until(lambda: directory.calls["events"] == 3)
    _, holder = await acquire(keeper)
    directory.failures = [ValueError("renewing")]
    await until(lambda: not directory.failures)
    table.flush()
    await until(lambda: owner_in(table) == MINE.owner)
    await others.kick(STREAM)
    await until(lambda: holder.lost == ["kicked"])
    await keeper.close()
