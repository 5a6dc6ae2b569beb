from pathlib import Path

from tests.bench import plot


def test_cpu_against_viewers(tmp_path: Path) -> None:
    path = tmp_path / "cpu.svg"
    plot.cpu_against_viewers(path, series={"ours": {1: 1.0, 1000: 9.0}, "theirs": {1: 2.0}})
    assert "<svg" in path.read_text()


def test_adaptive(tmp_path: Path) -> None:
    path = tmp_path / "adaptive.svg"
    figures = [1.0, 50.0]
    plot.adaptive(
        path, viewers=[1, 1000], interval_ms=figures, p50_ms=figures, p99_ms=figures, cpu=figures
    )
    assert "<svg" in path.read_text()
