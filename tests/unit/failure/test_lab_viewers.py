"""A viewer of the lab sees what is wrong with what it gets."""

import pytest

from common.rtmp.message import Message, MessageType
from tests.support.lab_media import Shape, Tag, header_variant, headers, message, read_tag, schedule
from tests.support.lab_rows import STREAM, observed, row_of, viewer
from tests.support.lab_viewers import Checker, Deliveries

VIDEO, AUDIO = MessageType.VIDEO, MessageType.AUDIO


def frame(session: int, sequence: int, at: int, *, variant: int = 0, sent: float = 0.0) -> Message:
    payload = message(VIDEO, sequence % 5 == 0, Tag(session, sequence, variant, sent))
    return Message(VIDEO, at, 1, payload)


def header(variant: int) -> Message:
    return Message(VIDEO, 0, 1, headers(Shape(variant=variant))[1].payload)


def checked(*messages: Message) -> Checker:
    checker = Checker()
    for at, each in enumerate(messages):
        checker.take(each, 1.0 + at / 10)
    return checker


def test_a_message_says_what_it_is() -> None:
    tag = Tag(7, 1234, 3, 56.75)
    for type_id in (VIDEO, AUDIO):
        assert read_tag(type_id, message(type_id, False, tag)) == tag
    for each in headers(Shape(variant=3)):
        assert read_tag(each.type_id, each.payload) is None
    assert header_variant(headers(Shape(variant=3))[1].payload) == 3
    assert header_variant(message(VIDEO, True, tag)) is None


def test_an_encoder_begins_with_a_keyframe_and_keeps_time() -> None:
    times = [at for (at, _, _), _ in zip(schedule(Shape()), range(200), strict=False)]
    assert times == sorted(times)
    assert next(schedule(Shape())) == (0, VIDEO, True)
    silent = [
        type_id for (_, type_id, _), _ in zip(schedule(Shape(audio=False)), range(99), strict=False)
    ]
    assert set(silent) == {VIDEO}


def test_an_undisturbed_stream_has_nothing_wrong() -> None:
    seen = checked(*[frame(1, n, n * 40) for n in range(20)]).seen
    assert (seen.messages, len(seen.keyframes)) == (20, 4)
    wrong = (seen.lost, seen.repeated, seen.back_ms, seen.stale, seen.wrong_headers)
    assert wrong == (0, 0, 0, 0, 0)
    assert seen.gap_s == pytest.approx(0.1)


def test_going_over_to_a_newer_session_is_nothing_wrong() -> None:
    seen = checked(frame(1, 8, 320), frame(1, 9, 360), frame(2, 0, 400), frame(2, 1, 440)).seen
    assert (seen.lost, seen.repeated, seen.stale) == (0, 0, 0)


@pytest.mark.parametrize(
    ("messages", "field", "value"),
    [
        ([frame(1, 0, 0), frame(1, 3, 120)], "lost", 2),
        ([frame(1, 0, 0), frame(1, 1, 40), frame(1, 1, 40)], "repeated", 1),
        ([frame(1, 0, 90), frame(1, 1, 40)], "back_ms", 50),
        ([frame(2, 0, 0), frame(1, 9, 40)], "stale", 1),
        ([header(0), frame(1, 0, 0, variant=3)], "wrong_headers", 1),
        ([header(3), frame(1, 0, 0, variant=3)], "wrong_headers", 0),
    ],
)
def test_what_is_wrong_is_counted(messages: list[Message], field: str, value: int) -> None:
    assert getattr(checked(*messages).seen, field) == value


def test_a_pause_counts_whether_it_has_ended_or_not() -> None:
    checker = checked(frame(1, 0, 0))
    assert checker.report(3.0)["gap_ms"] == pytest.approx(2000)
    checker.take(frame(1, 1, 40), 3.0)
    assert checker.report(3.1)["gap_ms"] == pytest.approx(2000)
    checker.reset(4.0)
    assert checker.report(4.5)["gap_ms"] == pytest.approx(500)


def test_a_new_connection_may_start_anywhere() -> None:
    checker = checked(frame(1, 5, 200))
    checker.reconnected()
    checker.take(frame(1, 0, 0), 2.0)
    assert (checker.seen.repeated, checker.seen.back_ms) == (0, 0)


def test_two_sessions_that_both_reach_viewers_are_told() -> None:
    deliveries = Deliveries()
    for session, at in ((1, 10.0), (2, 11.0), (1, 12.0)):
        deliveries.note("live/a", 0, Tag(session, 0, 0, at), at + 0.5)
    told = [
        (each["session"], each["first_at"], each["last_sent_at"]) for each in deliveries.report()
    ]
    assert told == [(1, 10.5, 12.0), (2, 11.5, 11.0)]


def test_two_owners_at_once_are_a_problem_of_the_row() -> None:
    deliveries = Deliveries()
    for n in range(40):  # from 99 s on, each second publisher at another edge
        at = 99.0 + n / 10
        deliveries.note(STREAM, n % 2, Tag(1 + n % 2, n, 0, at), at + 0.01)
    seen = observed(viewer())
    seen.report["sessions"] = deliveries.report()
    (problem,) = row_of(seen).problems
    assert problem.startswith("two owners for ")
