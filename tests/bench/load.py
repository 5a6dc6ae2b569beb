"""What is put on a server, and what its players and publishers met."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, Final

from .child import Report
from .stats import Percentiles

SAMPLE: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Streams and players, and for how long they are measured."""

    players: int  # besides those of the sample
    streams: int = 1
    sample: int = SAMPLE  # players whose media is all looked at
    rate: float = 500.0  # players that join per second
    joiners: int = 0  # players who join while the others are measured
    join_rate: float = 1000.0  # of them, per second
    stalled: int = 0  # players besides that stop reading …
    stall_s: float = 0.0  # … for so long; 0: for good
    own_cores: bool = True  # for the judged processes, where there are enough
    seconds: float = 6.0
    quiet_s: float = 0.5  # with the sample alone, before the others join
    settle_s: float = 1.5
    """What players begin with is up to a whole GOP old: it must be through before they count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """What players met between two orders."""

    players: int = 0
    started: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    disconnected: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    min_kbps: float = 0.0
    max_kbps: float = 0.0
    bytes: int = 0
    reads: int = 0
    messages: int = 0
    longest_gap_ms: float = 0.0
    first_keyframe_ms: list[float] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    stalled: list[dict[str, Any]] = field(default_factory=list)
    own_cpu_share: float = 0.0

    @classmethod
    def from_report(cls, report: Report) -> "Met":
        """Return what one process of players says."""
        facts = {name: value for name, value in report.items() if name not in ("event", "kbps")}
        return cls(**facts, min_kbps=report["kbps"][0], max_kbps=report["kbps"][1])

    def __add__(self, other: "Met") -> "Met":
        """Return both together; ``seconds`` are those of the longer one."""
        both = [each for each in (self, other) if each.started]
        return replace(
            self,
            players=self.players + other.players,
            started=self.started + other.started,
            failed=dict(Counter(self.failed) + Counter(other.failed)),
            disconnected=dict(Counter(self.disconnected) + Counter(other.disconnected)),
            seconds=max(self.seconds, other.seconds),
            min_kbps=min((each.min_kbps for each in both), default=0.0),
            max_kbps=max((each.max_kbps for each in both), default=0.0),
            bytes=self.bytes + other.bytes,
            reads=self.reads + other.reads,
            messages=self.messages + other.messages,
            longest_gap_ms=max(self.longest_gap_ms, other.longest_gap_ms),
            first_keyframe_ms=self.first_keyframe_ms + other.first_keyframe_ms,
            latencies_ms=self.latencies_ms + other.latencies_ms,
            errors=self.errors + other.errors,
            stalled=self.stalled + other.stalled,
            own_cpu_share=self.own_cpu_share + other.own_cpu_share,
        )

    @property
    def latency(self) -> Percentiles | None:
        """Publish to player, in ms, of all pictures of the sample."""
        return Percentiles.of(self.latencies_ms)

    @property
    def first_keyframe(self) -> Percentiles | None:
        """From opening a connection to its first keyframe, in ms."""
        return Percentiles.of(self.first_keyframe_ms)

    @property
    def reads_per_player_s(self) -> float:
        """How often a player's socket was readable, per second."""
        return self.reads / self.started / self.seconds if self.started and self.seconds else 0.0

    def problems(self) -> list[str]:
        """Return what was wrong, in words."""
        found = [f"{count} players did not start: {why}" for why, count in self.failed.items()]
        found += [f"{count} players dropped: {why}" for why, count in self.disconnected.items()]
        late = [error for stalled in self.stalled for error in stalled.get("errors", [])]
        return found + self.errors + late
