"""The plots of a bench, as SVG."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_WIDTH_IN: Final = 8.0
_HEIGHT_IN: Final = 4.5
_POINTS: Final = 400
"""Of a distribution: what can be seen, not every picture that was measured."""


def latency_distribution(path: Path, *, series: Mapping[str, Sequence[float]]) -> None:
    """Draw which share of pictures came how late, a line per server."""
    with _style():
        figure, axes = _figure()
        for name, values in series.items():
            ordered = sorted(values)
            step = max(len(ordered) // _POINTS, 1)
            shares = [100 * (at + 1) / len(ordered) for at in range(0, len(ordered), step)]
            axes.plot(ordered[::step], shares, label=name)
        axes.set(
            xscale="log", xlabel="publish to player, ms", ylabel="% of pictures", ylim=(0, 100)
        )
        axes.legend(loc="lower right", fontsize="small")
        _save(figure, path)


def cpu_against_viewers(path: Path, *, series: Mapping[str, Mapping[int, float]]) -> None:
    """Draw the CPU of each server against its viewers."""
    with _style():
        figure, axes = _figure()
        for name, points in series.items():
            axes.plot(list(points), list(points.values()), marker="o", label=name)
        axes.set(xscale="log", xlabel="viewers", ylabel="CPU, % of a core")
        axes.set_ylim(bottom=0)
        axes.legend(fontsize="small")
        _save(figure, path)


def adaptive(
    path: Path,
    *,
    viewers: Sequence[int],
    interval_ms: Sequence[float],
    p50_ms: Sequence[float],
    p99_ms: Sequence[float],
    cpu: Sequence[float],
) -> None:
    """Draw flush interval and latency above, CPU below, against viewers."""
    with _style():
        figure = Figure(figsize=(_WIDTH_IN, 1.4 * _HEIGHT_IN), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        upper.plot(viewers, interval_ms, marker="o", label="flush interval")
        upper.plot(viewers, p50_ms, marker="o", label="latency p50")
        upper.plot(viewers, p99_ms, marker="o", label="latency p99")
        upper.set(xscale="log", yscale="log", ylabel="ms")
        upper.legend(fontsize="small")
        lower.plot(viewers, cpu, marker="o", color="tab:red")
        lower.set(xlabel="viewers", ylabel="CPU, % of a core")
        lower.set_ylim(bottom=0)
        _save(figure, path)


def _style() -> AbstractContextManager[None]:
    return mpl.rc_context(
        {
            "svg.hashsalt": "headwater",  # the same figures give the same file
            "font.size": 10,
            "axes.grid": True,
            "grid.alpha": 0.3,
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    )


def _figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH_IN, _HEIGHT_IN), layout="constrained")
    return figure, figure.subplots()


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, format="svg", metadata={"Date": None})
