"""The rules of patience, on numbers instead of a clock."""

from dataclasses import replace

import pytest

from common.errors import RelayError
from common.ids import NodeId
from edge.patience import Ended, Patience
from edge.target import Target
from tests.support.spine import quick_settings

HOLD, GRACE, SILENCE = 3.0, 15.0, 2.0
SETTINGS = quick_settings(
    edge={"hold_s": HOLD, "grace_s": GRACE},
    relay={"silence_s": SILENCE, "backoff_min_s": 0.5, "backoff_max_s": 2.0},
)
ORIGIN = Target("origin:1", epoch=7)
SIBLING = Target(slot=1)
PARENT = Target("edge:1", parent=NodeId("edge-2"))
BEGAN = 100.0
FIRST_PAUSE = 0.5


def new_patience() -> Patience:
    return Patience(SETTINGS.edge, SETTINGS.relay, BEGAN, uniform=lambda least, most: most)


def ended(target: Target, reason: str, *, streamed: bool = False, lasted_s: float = 0.0) -> Ended:
    return Ended(target, RelayError(reason), streamed, lasted_s)


def after(
    patience: Patience, end: Ended | None, now: float, *, table_ok: bool = True
) -> tuple[float | None, float]:
    """Return the pause, and until when it goes on."""
    return patience.pause_after(end, now, table_ok=table_ok), patience.until


@pytest.mark.parametrize(
    ("target", "reason", "pause", "until"),
    [
        (ORIGIN, "not_found", FIRST_PAUSE, BEGAN + HOLD),
        (ORIGIN, "lost", FIRST_PAUSE, BEGAN + HOLD),
        (ORIGIN, "left", 0.0, BEGAN + HOLD),
        (ORIGIN, "silent", FIRST_PAUSE, BEGAN + 1 + HOLD),  # standbys begin only now
        (ORIGIN, "connect_timeout", FIRST_PAUSE, BEGAN + 1 + HOLD),
        (SIBLING, "connect_failed", FIRST_PAUSE, BEGAN + HOLD),
        (SIBLING, "silent", FIRST_PAUSE, BEGAN + 1 + HOLD),  # nobody has looked for it yet
        (SIBLING, "not_found", None, BEGAN + HOLD),  # it has held already
        (SIBLING, "ended", None, BEGAN + HOLD),
        (SIBLING, "left", 0.0, BEGAN + HOLD),
        (PARENT, "not_found", 0.0, BEGAN + 1 + HOLD),  # nobody has asked the origin yet
        (PARENT, "silent", 0.0, BEGAN + 1 + HOLD),
        (PARENT, "left", 0.0, BEGAN + HOLD),
    ],
)
def test_relay_that_brought_nothing_for_the_first_viewer(
    target: Target, reason: str, pause: float | None, until: float
) -> None:
    assert after(new_patience(), ended(target, reason), BEGAN + 1) == (pause, until)


def test_origin_that_stays_dead_is_waited_for_once_more_only() -> None:
    patience = new_patience()
    silent = ended(ORIGIN, "silent")
    assert after(patience, silent, BEGAN + HOLD) == (FIRST_PAUSE, BEGAN + 2 * HOLD)
    assert after(patience, silent, BEGAN + 2 * HOLD) == (None, BEGAN + 2 * HOLD)


@pytest.mark.parametrize(
    ("target", "reason", "pause", "grace"),
    [
        (ORIGIN, "lost", FIRST_PAUSE, GRACE),
        (ORIGIN, "left", 0.0, GRACE),
        (SIBLING, "silent", FIRST_PAUSE, GRACE),
        (SIBLING, "ended", None, GRACE),  # it has given grace already
        (PARENT, "ended", 0.0, GRACE),
        (PARENT, "no_media", 0.0, GRACE - SILENCE),  # it has brought none for so long
    ],
)
def test_relay_that_streamed(
    target: Target, reason: str, pause: float | None, grace: float
) -> None:
    end = ended(target, reason, streamed=True)
    assert after(new_patience(), end, BEGAN + 60) == (pause, BEGAN + 60 + grace)


@pytest.mark.parametrize(
    ("target", "reason", "pause"),
    [
        (ORIGIN, "not_found", FIRST_PAUSE * 2),
        (SIBLING, "not_found", FIRST_PAUSE * 2),  # it may not have had the stream itself
        (SIBLING, "ended", None),
        (PARENT, "silent", 0.0),
    ],
)
def test_relay_that_brought_nothing_after_one_that_did_has_the_grace_of_that_one(
    target: Target, reason: str, pause: float | None
) -> None:
    patience = new_patience()
    after(patience, ended(ORIGIN, "lost", streamed=True), BEGAN + 60)
    expected = pause, BEGAN + 60 + GRACE
    assert after(patience, ended(target, reason), BEGAN + 61) == expected


@pytest.mark.parametrize("streamed", [False, True])
def test_it_ends_with_the_time_but_not_while_there_is_another_place(streamed: bool) -> None:
    patience = new_patience()
    if streamed:
        after(patience, ended(ORIGIN, "lost", streamed=True), BEGAN)
    over = patience.until
    assert patience.pause_after(ended(ORIGIN, "left"), over, table_ok=True) == 0.0
    assert patience.pause_after(ended(ORIGIN, "lost"), over, table_ok=True) is None
    assert patience.pause_after(None, over, table_ok=True) is None
    newer_publisher = replace(ended(ORIGIN, "lost"), outdated=True)
    assert patience.pause_after(newer_publisher, over, table_ok=True) == 0.0
    # Whether the table is away matters to those who had the stream.
    pause = patience.pause_after(None, over, table_ok=False)
    assert (pause, patience.until) == ((0.0, over + GRACE) if streamed else (None, over))


def test_pauses_grow_up_to_what_is_left_and_begin_anew_with_a_relay_that_lived() -> None:
    patience = new_patience()
    lost = ended(ORIGIN, "lost")
    pauses = [patience.pause_after(lost, BEGAN, table_ok=True) for _ in range(4)]
    assert pauses == [0.5, 1.0, 2.0, 2.0]
    assert patience.pause_after(lost, BEGAN + HOLD - 0.1, table_ok=True) == pytest.approx(0.1)
    shortly = ended(ORIGIN, "lost", streamed=True, lasted_s=1.9)
    assert patience.pause_after(shortly, BEGAN, table_ok=True) == 2.0
    longer = ended(ORIGIN, "lost", streamed=True, lasted_s=2.0)
    assert patience.pause_after(longer, BEGAN, table_ok=True) == 0.5
