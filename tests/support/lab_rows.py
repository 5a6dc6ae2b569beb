"""Made-up observations of the failure lab, and the rows that come of them."""

from typing import Any, Final

from tests.failure.lab import Fault, News, Usage
from tests.failure.row import Limits, Observed, Row, make_row

STREAM: Final = "live/s0"
_MIB: Final = 1 << 20


def viewer(**changes: Any) -> dict[str, Any]:
    """Return what a viewer of the lab reports who saw a fault at 100 s, and nothing wrong."""
    return {
        "stream": STREAM,
        "home": 0,
        "can_reconnect": True,
        "disconnects": [],
        "disconnected_at": [],
        "moved_at": [],
        "messages": 100,
        "gap_ms": 80.0,
        "gap_began_at": 99.9,
        # One session before the fault at 100, one after it.
        "keyframes": [(1, 99.5, 99.51), (2, 100.05, 100.07)],
        "lost": 0,
        "repeated": 0,
        "back_ms": 0,
        "stale": 0,
        "wrong_headers": 0,
        **changes,
    }


def observed(
    *viewers: dict[str, Any],
    grown_mib: int = 0,
    opened: int = 0,
    overlap_s: float = -0.1,
    **fault: Any,
) -> Observed:
    """Return what is seen of a fault at 100 s that gives the stream a second session."""
    accepted = {"news": "accepted", "stream": STREAM, "origin": 1, "at": 100.04, "session": 2}
    return Observed(
        fault=Fault(at=100.0, streams=frozenset({STREAM}), **fault),
        report={
            "viewers": list(viewers),
            "sessions": [
                {
                    "stream": STREAM,
                    "edge": 1,
                    "session": 2,
                    "first_at": 100.08,
                    "last_sent_at": 103.0,
                },
                {
                    "stream": STREAM,
                    "edge": 0,
                    "session": 2,
                    "first_at": 100.07,
                    "last_sent_at": 103.0,
                },
                {
                    "stream": STREAM,
                    "edge": 0,
                    "session": 1,
                    "first_at": 90.0,
                    "last_sent_at": 100.07 + overlap_s,
                },
            ],
        },
        news=News([accepted | {"at": 90.0, "session": 1, "origin": 0}, accepted]),
        before=Usage({1: 50 * _MIB, 2: 50 * _MIB}, {1: 20, 2: 20}),
        after=Usage({1: (60 + grown_mib) * _MIB, 3: 90 * _MIB}, {1: 22 + opened, 3: 20}),
    )


def row_of(seen: Observed, limits: Limits | None = None) -> Row:
    """Return the row of it."""
    return make_row("name", "Title", seen, limits or Limits())
