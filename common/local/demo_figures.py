"""What the demo shows: plain figures, gathered once a round."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeFigures:
    """What flows out of an edge, as its players see it."""

    name: str
    frames: int = 0  # decoded by ffmpeg
    errors: int = 0  # lines that it logged as errors
    bitrate_bps: float = 0.0
    first_frame_s: float | None = None
    latency_p50_s: float | None = None  # encoder to player, by content
    latency_p99_s: float | None = None
    viewers: int | None = None  # None: the node did not answer
    relays: int | None = None  # pulls of this host from origins


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginFigures:
    """What an origin holds."""

    name: str
    publishers: int | None = None
    relays: int | None = None  # to edges


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoFigures:
    """One round."""

    elapsed_s: float
    edges: tuple[EdgeFigures, ...]
    origins: tuple[OriginFigures, ...]


def percentile(values: Iterable[float], share: float) -> float | None:
    """Return the value that ``share`` (0 to 1) of ``values`` do not exceed; None without any."""
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
