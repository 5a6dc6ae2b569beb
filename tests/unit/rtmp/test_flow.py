from common.rtmp.flow import (
    DEFAULT_ACK_EVERY_BYTES,
    MESSAGE_PROGRESS_BYTES,
    MESSAGE_PROGRESS_WINDOW_S,
    MIN_ACK_EVERY_BYTES,
    AckSchedule,
    ProgressWatch,
    TokenBucket,
)


def test_c39_ack_is_due_at_half_of_the_peers_window() -> None:
    acks = AckSchedule()
    acks.honour_window(2_000_000)
    assert acks.take_due(999_999) is None
    assert acks.take_due(1_000_000) == 1_000_000
    assert acks.take_due(1_999_999) is None
    assert acks.take_due(2_000_001) == 2_000_001


def test_without_a_window_an_ack_is_due_every_default_interval() -> None:
    acks = AckSchedule()
    assert acks.take_due(DEFAULT_ACK_EVERY_BYTES - 1) is None
    assert acks.take_due(DEFAULT_ACK_EVERY_BYTES) == DEFAULT_ACK_EVERY_BYTES


def test_c39_ack_counter_wraps_and_never_stops() -> None:
    acks = AckSchedule()
    assert acks.take_due(2**32 - 10) == 2**32 - 10
    wrapped = 2**32 + DEFAULT_ACK_EVERY_BYTES
    assert acks.take_due(wrapped) == DEFAULT_ACK_EVERY_BYTES
    assert acks.take_due(wrapped + DEFAULT_ACK_EVERY_BYTES) == 2 * DEFAULT_ACK_EVERY_BYTES


def test_c40_a_tiny_window_is_raised_to_the_floor() -> None:
    acks = AckSchedule()
    acks.honour_window(1)
    assert acks.take_due(MIN_ACK_EVERY_BYTES - 1) is None
    assert acks.take_due(MIN_ACK_EVERY_BYTES) == MIN_ACK_EVERY_BYTES


def test_bucket_lets_a_burst_pass_and_then_the_rate() -> None:
    bucket = TokenBucket(rate_per_s=10.0, burst=3, now=0.0)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(0.05)
    assert bucket.take(0.11)
    assert not bucket.take(0.11)


def test_bucket_never_holds_more_than_its_burst() -> None:
    bucket = TokenBucket(rate_per_s=10.0, burst=2, now=0.0)
    assert [bucket.take(1000.0) for _ in range(3)] == [True, True, False]


def test_an_unfinished_message_without_progress_is_stalled() -> None:
    watch = ProgressWatch(received=100, now=0.0)
    assert watch.deadline == MESSAGE_PROGRESS_WINDOW_S
    assert not watch.is_stalled(102, 9.9)
    assert watch.is_stalled(102, 10.0)


def test_an_unfinished_message_that_grows_is_not_stalled() -> None:
    watch = ProgressWatch(received=0, now=0.0)
    assert not watch.is_stalled(MESSAGE_PROGRESS_BYTES, 10.0)
    assert watch.deadline == 10.0 + MESSAGE_PROGRESS_WINDOW_S


def test_finished_messages_restart_the_watch() -> None:
    watch = ProgressWatch(received=0, now=0.0)
    watch.restart(received=10, now=4.0)
    assert watch.deadline == 4.0 + MESSAGE_PROGRESS_WINDOW_S
    assert not watch.is_stalled(10, 13.9)
    assert watch.is_stalled(10, 14.0)
