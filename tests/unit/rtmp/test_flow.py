from common.rtmp.flow import (
    DEFAULT_ACK_EVERY_BYTES,
    MIN_ACK_EVERY_BYTES,
    AckSchedule,
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
