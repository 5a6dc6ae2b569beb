"""One row of the lab's table: what viewers, encoders and the table saw of a fault."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, Final

from tests.failure.lab import Fault, News, Usage

OVERLAP_MS: Final = 250.0
"""Media on its way when a stream changes hands is not a second owner."""

_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a scenario must not exceed. None: no limit."""

    gap_ms: float | None = None  # the longest of any viewer who was not hit
    hit_gap_ms: float | None = None  # of those who were
    others_gap_ms: float = 500.0  # of viewers whom the fault is none of the business
    new_source_ms: float | None = None  # 99th percentile
    lost: bool = False  # whether a session may go on with something missing
    growth_mib: float = 32.0  # of all processes that lived through it
    descriptors: int = 40  # likewise
    new_session: bool = True  # whether each affected stream must have a new publish session


Three = Mapping[str, float] | None
"""Median, 99th percentile and maximum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The figures of one run of one scenario; times in ms."""

    scenario: str
    title: str
    viewers: int
    affected: int  # viewers of the streams concerned
    disconnected: int
    victims: int  # of them: those whose connection was what was cut
    reasons: list[str]
    gap_ms: Three  # the longest pause of each affected viewer who stayed connected …
    hit_gap_ms: Three  # … and of each who did not
    others_gap_ms: Three  # of all other viewers
    fault_to_keyframe_ms: Three  # to the first keyframe that was sent after the fault
    reconnect_ms: Three  # from the fault until the encoder was accepted anew
    new_source_ms: Three  # from its first keyframe sent to that keyframe at each viewer
    wrong_route_ms: float | None  # from there until the last edge showed it
    back_ms: int
    lost: int
    repeated: int
    stale: int
    overlap_ms: float  # two sessions of a stream that both reached viewers
    wrong_headers: int
    rss_mib: tuple[float, float]  # before, after; of processes that lived through it
    descriptors: tuple[int, int]
    problems: list[str] = field(default_factory=list)  # what must never be
    late: list[str] = field(default_factory=list)  # what took longer than it should

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Everything a row is made of."""

    fault: Fault
    report: dict[str, Any]  # of the viewers
    news: News
    before: Usage
    after: Usage


def make_row(name: str, title: str, seen: Observed, limits: Limits) -> Row:
    """Work out the figures and hold them against the limits."""
    fault = seen.fault
    viewers = seen.report["viewers"]
    affected = [each for each in viewers if _concerns(fault, each)]
    others = [each for each in viewers if not _concerns(fault, each)]
    hit = [each for each in viewers if each["disconnects"]]
    accepted = {
        stream: news
        for stream in fault.streams
        if (news := seen.news.last("accepted", stream, fault.at)) is not None
    }
    pids = seen.before.rss_bytes.keys() & seen.after.rss_bytes.keys()
    row = Row(
        scenario=name,
        title=title,
        viewers=len(viewers),
        affected=len(affected),
        disconnected=len(hit),
        victims=fault.victims,
        reasons=sorted({why for each in viewers for why in each["disconnects"]}),
        gap_ms=_three(each["gap_ms"] for each in affected if not each["disconnects"]),
        hit_gap_ms=_three(each["gap_ms"] for each in hit),
        others_gap_ms=_three(each["gap_ms"] for each in others),
        fault_to_keyframe_ms=_three(_fault_to_keyframe(affected, fault.at)),
        reconnect_ms=_three((news["at"] - fault.at) * 1000 for news in accepted.values()),
        new_source_ms=_three(_new_source(affected, accepted)),
        wrong_route_ms=_wrong_route(seen.report["sessions"], accepted),
        back_ms=max((each["back_ms"] for each in viewers), default=0),
        lost=sum(each["lost"] for each in viewers),
        repeated=sum(each["repeated"] for each in viewers),
        stale=sum(each["stale"] for each in viewers),
        overlap_ms=_overlap_ms(seen.report["sessions"]),
        wrong_headers=sum(each["wrong_headers"] for each in viewers),
        rss_mib=(
            round(sum(seen.before.rss_bytes[pid] for pid in pids) / _MIB, 1),
            round(sum(seen.after.rss_bytes[pid] for pid in pids) / _MIB, 1),
        ),
        descriptors=(
            sum(seen.before.descriptors.get(pid, 0) for pid in pids),
            sum(seen.after.descriptors.get(pid, 0) for pid in pids),
        ),
    )
    missing = fault.streams - accepted.keys() if limits.new_session else frozenset[str]()
    row.problems.extend(f"{stream}: no new publish session" for stream in sorted(missing))
    row.problems.extend(fault.problems)
    row.problems.extend(_problems(row, limits))
    row.late.extend(_late(row, limits))
    return row


def _concerns(fault: Fault, viewer: dict[str, Any]) -> bool:
    return viewer["stream"] in fault.streams and fault.edge in (None, viewer["home"])


def _fault_to_keyframe(viewers: list[dict[str, Any]], at: float) -> Iterable[float]:
    for viewer in viewers:
        arrivals = [here for _, sent, here in viewer["keyframes"] if sent > at]
        if arrivals:
            yield (min(arrivals) - at) * 1000


def _new_source(
    viewers: list[dict[str, Any]], accepted: Mapping[str, dict[str, Any]]
) -> Iterable[float]:
    for viewer in viewers:
        news = accepted.get(viewer["stream"])
        if news is None:
            continue
        first = next((each for each in viewer["keyframes"] if each[0] == news["session"]), None)
        # A viewer without one is seen by its gap.
        if first is not None:
            yield (first[2] - first[1]) * 1000


def _wrong_route(
    sessions: list[dict[str, Any]], accepted: Mapping[str, dict[str, Any]]
) -> float | None:
    """Return how long the slowest edge took to show the newest session, from its publish on."""
    shown = [
        (each["first_at"] - news["at"]) * 1000
        for each in sessions
        if (news := accepted.get(each["stream"])) and news["session"] == each["session"]
    ]
    return max(shown, default=None)


def _overlap_ms(sessions: list[dict[str, Any]]) -> float:
    """Return for how long media of a session was sent and shown after the next one was shown."""
    spans: dict[str, dict[int, tuple[float, float]]] = {}
    for each in sessions:
        of_stream = spans.setdefault(each["stream"], {})
        first, last = of_stream.get(each["session"], (each["first_at"], each["last_sent_at"]))
        of_stream[each["session"]] = (
            min(first, each["first_at"]),
            max(last, each["last_sent_at"]),
        )
    longest = 0.0
    for of_stream in spans.values():
        for former, latter in pairwise(sorted(of_stream)):
            longest = max(longest, (of_stream[former][1] - of_stream[latter][0]) * 1000)
    return longest


def _problems(row: Row, limits: Limits) -> Iterable[str]:
    if row.disconnected > row.victims:
        yield f"{row.disconnected - row.victims} viewers disconnected: {', '.join(row.reasons)}"
    if row.back_ms:
        yield f"time went back by {row.back_ms} ms"
    if row.lost and not limits.lost:
        yield f"{row.lost} messages lost inside a session"
    if row.repeated:
        yield f"{row.repeated} messages repeated or out of order"
    if row.stale:
        yield f"{row.stale} messages of a session that was over"
    if row.overlap_ms > OVERLAP_MS:
        yield f"two owners for {row.overlap_ms:.0f} ms"
    if row.wrong_headers:
        yield f"{row.wrong_headers} keyframes behind the wrong codec header"
    if row.rss_mib[1] - row.rss_mib[0] > limits.growth_mib:
        yield f"memory grew from {row.rss_mib[0]} to {row.rss_mib[1]} MiB"
    if row.descriptors[1] - row.descriptors[0] > limits.descriptors:
        yield f"descriptors grew from {row.descriptors[0]} to {row.descriptors[1]}"


def _late(row: Row, limits: Limits) -> Iterable[str]:
    for what, figures, name, limit in (
        ("a gap of", row.gap_ms, "max", limits.gap_ms),
        ("for those hit a gap of", row.hit_gap_ms, "max", limits.hit_gap_ms),
        ("for others a gap of", row.others_gap_ms, "max", limits.others_gap_ms),
        ("new source (p99) after", row.new_source_ms, "p99", limits.new_source_ms),
    ):
        if limit is not None and figures and figures[name] > limit:
            yield f"{what} {figures[name]:.0f} ms, more than {limit:.0f}"


def _three(values: Iterable[float]) -> Three:
    ordered = sorted(round(value, 1) for value in values)
    if not ordered:
        return None
    last = len(ordered) - 1
    return {"p50": ordered[last // 2], "p99": ordered[round(last * 0.99)], "max": ordered[last]}
