"""What the probe says about what it saw."""

import pytest

from common.local.probe import _HEADER, _MARK, _TAG, GOP_FRAMES, ProbeResult, _Seen
from common.rtmp.message import Message, MessageType


def frame(number: int, sent_at: float = 0.0) -> Message:
    payload = b"\x17\x01\x00\x00\x00" + _TAG.pack(_MARK, number, sent_at)
    return Message(type_id=MessageType.VIDEO, stream_id=1, timestamp=40 * number, payload=payload)


def test_frames_in_order_from_a_keyframe_are_as_they_should_be() -> None:
    seen = _Seen()
    for number in range(GOP_FRAMES, 2 * GOP_FRAMES):
        seen.take(frame(number, sent_at=float(number)), number + 0.25)
    assert seen.problem == ""
    assert seen.delays == [0.25] * GOP_FRAMES


@pytest.mark.parametrize(
    ("numbers", "problem"),
    [
        ([1, 2], "it began at frame 1, which is no keyframe"),
        ([0, 2, 9], "frame 2 came where 1 was due"),
        ([0, 1, 1], "frame 1 came where 2 was due"),
    ],
)
def test_the_first_thing_that_is_wrong_is_told(numbers: list[int], problem: str) -> None:
    seen = _Seen()
    for number in numbers:
        seen.take(frame(number), 0.0)
    assert seen.problem == problem


def test_headers_and_what_is_not_ours_do_not_count() -> None:
    seen = _Seen()
    for type_id, payload in ((MessageType.VIDEO, _HEADER), (MessageType.DATA_AMF0, b"\x02")):
        seen.take(Message(type_id=type_id, stream_id=1, timestamp=0, payload=payload), 0.0)
    assert seen.delays == []


def test_the_result_is_a_line_for_people() -> None:
    result = ProbeResult(frames=25, first_picture_s=0.0841, delay_p50_s=0.0019, delay_max_s=0.0044)
    assert str(result) == (
        "25 frames published and played: first picture after 84 ms, "
        "delay 1.9 ms (p50), 4.4 ms (max)"
    )
