"""What a scenario found: tables, goals, problems."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .stats import Spread, number, ratios
from .trial import Trial

Reader = Callable[[Trial], float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text under headings; the first column names the row."""

    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A figure beside the most that it may be. People judge it: it is no failure of the bench."""

    text: str
    value: Spread | None  # None: it could not be measured
    limit: float
    unit: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the median is within the limit; None: not known."""
        return None if self.value is None else self.value.median <= self.limit

    @property
    def verdict(self) -> str:
        """That in a word."""
        return {None: "not measured", True: "met", False: "MISSED"}[self.met]

    @property
    def row(self) -> tuple[str, ...]:
        """The goal as a row of a table."""
        shown = "-" if self.value is None else f"{self.value} {self.unit}".rstrip()
        return (self.text, shown, f"{number(self.limit)} {self.unit}".rstrip(), self.verdict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A plot that is drawn when the results are written."""

    name: str  # of its file
    caption: str
    draw: Callable[[Path], None]


@dataclass(slots=True, kw_only=True)
class Result:
    """What a scenario found. ``problems`` are incorrect behaviour of ours; notes are of peers."""

    scenario: str
    title: str
    tables: list[Table] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)


GOAL_HEADINGS = ("goal", "measured", "at most", "")


def spread(trials: Sequence[Trial], read: Reader) -> Spread | None:
    """Return the spread of one figure over repeated trials."""
    return Spread.of([value for value in map(read, trials) if value is not None])


def ratio(trials: Sequence[Trial], others: Sequence[Trial], read: Reader) -> Spread | None:
    """Return how a figure compares with that of trials in the same rounds."""
    values, theirs = [read(each) for each in trials], [read(each) for each in others]
    if None in values or None in theirs:
        return None
    return ratios([v for v in values if v is not None], [v for v in theirs if v is not None])


def shown(value: Spread | None) -> str:
    """Return a spread for a table."""
    return "-" if value is None else str(value)


# Figures of a trial, by which tables and goals are made


def cpu(trial: Trial) -> float | None:
    """User and system time of the judged processes, in per cent of a core."""
    return trial.usage.cpu if trial.usage else None


def user_cpu(trial: Trial) -> float | None:
    """Of it the user time: what the server itself does."""
    return trial.usage.user if trial.usage else None


def cpu_per_player(trial: Trial) -> float | None:
    """CPU of each player that played, in per cent of a core."""
    return trial.usage.cpu / trial.met.started if trial.usage and trial.met.started else None


def cpu_growth(trial: Trial) -> float | None:
    """CPU in the last third of the time against that in the first."""
    seconds = trial.usage.cpu_by_second if trial.usage else []
    third = len(seconds) // 3
    first = sum(seconds[:third])
    return sum(seconds[-third:]) / first if first else None


def rss_mib(trial: Trial) -> float | None:
    """Resident memory."""
    return trial.usage.rss_bytes / (1 << 20) if trial.usage else None


def rss_growth_mib(trial: Trial) -> float | None:
    """Resident memory that was added while all played."""
    return trial.usage.rss_grown_bytes / (1 << 20) if trial.usage else None


def rss_per_player_kib(trial: Trial) -> float | None:
    """Resident memory that a player added."""
    return trial.usage.rss_per_player_kib if trial.usage else None


def switches(trial: Trial) -> float | None:
    """Context switches a second, of both kinds."""
    used = trial.usage
    return used.voluntary_switches_s + used.involuntary_switches_s if used else None


def descriptors(trial: Trial) -> float | None:
    """Open files."""
    return trial.usage.descriptors if trial.usage else None


def writes(trial: Trial) -> float | None:
    """Writes to each player a second."""
    return trial.writes_per_s or None


def p50(trial: Trial) -> float | None:
    """Median latency in ms."""
    latency = trial.met.latency
    return latency.p50 if latency else None


def p99(trial: Trial) -> float | None:
    """99th percentile of latency in ms."""
    latency = trial.met.latency
    return latency.p99 if latency else None


def worst(trial: Trial) -> float | None:
    """Largest latency in ms."""
    latency = trial.met.latency
    return latency.max if latency else None


def longest_gap(trial: Trial) -> float | None:
    """The longest time that any player went without a byte, in ms."""
    return trial.met.longest_gap_ms


def interval(trial: Trial) -> float | None:
    """Mean flush interval in ms."""
    return trial.flushes.interval_ms if trial.flushes else None


def skipped(trial: Trial) -> float | None:
    """Players skipped to a keyframe."""
    return trial.flushes.skipped if trial.flushes else None


def lost_players(trial: Trial) -> float:
    """Players that did not start or did not stay."""
    met = trial.met
    return sum(met.failed.values()) + sum(met.disconnected.values())
