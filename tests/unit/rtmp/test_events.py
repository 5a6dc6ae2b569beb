"""Events as shells take them: what they would do for each message they do for all of a read."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from common.rtmp.events import Closed, PlayStarted, StreamEnded, media_together
from common.rtmp.message import Message

EVENTS = st.lists(
    st.integers(0, 9).map(lambda n: Message(9, n, 1, b""))
    | st.sampled_from([PlayStarted(), StreamEnded(code="x"), Closed(reason="eof")])
)


def test_media_in_a_row_is_one_list() -> None:
    one, two, three = (Message(8 + n % 2, n, 1, b"") for n in range(3))
    over = Closed(reason="eof")
    assert media_together([PlayStarted(), one, two, over, three]) == [
        PlayStarted(),
        [one, two],
        over,
        [three],
    ]


@given(EVENTS)
def test_nothing_is_lost_or_moved_and_no_list_is_empty_or_beside_another(
    events: list[object],
) -> None:
    together = media_together(events)
    flat: list[object] = []
    for each in together:
        flat += each if isinstance(each, list) else [each]
    assert flat == events
    lists = [isinstance(each, list) for each in together]
    assert [] not in together
    assert not any(one and other for one, other in pairwise(lists))
