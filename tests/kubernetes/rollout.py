"""What must be true of a roll-out, and its figures."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Final

from tests.kubernetes.pods import Pod, Pods
from tests.kubernetes.scene import Scene
from tests.kubernetes.viewers import Stay

ROLES: Final = ("origin", "edge")
_LEAST: Final = {"origin": 1, "edge": 2}
"""Pods that stay when one is told to end: origins go one by one, edges when others have come."""
_LONGEST_GAP_S: Final = 2.0
"""Of a viewer at one edge; generous, as control plane, encoders and players share the cores."""

Row = tuple[str, str]


@dataclass(frozen=True)
class RollOut:
    """Pods that were replaced while a scene was played."""

    what: str
    seconds: float
    former: list[Pod]
    pods: Pods
    scene: Scene

    async def check(self) -> None:
        """Fail when somebody was harmed."""
        for pod in self.former:
            self._check_end(pod)
        for pod in self.pods.by_id.values():
            assert pod.restarts == 0, f"{pod.name} was restarted"
        for viewer in self.scene.viewers:
            await viewer.until_more()
            assert not viewer.refused, viewer.refused
            for stay in viewer.stays:
                _check_stay(stay)
        for encoder in self.scene.encoders:
            # Carried over: all origins are others now, and its viewers were seen to play on.
            assert not encoder.task.done(), encoder.task
            assert len(encoder.at) > 1
        newcomers = self.scene.newcomers
        assert not newcomers.problems, newcomers.problems
        assert newcomers.published
        assert newcomers.waits_s

    def _check_end(self, pod: Pod) -> None:
        assert pod.exit_codes == [0], f"{pod.name} ended with {pod.exit_codes}"
        assert pod.took_s < pod.grace_s, f"{pod.name} took {pod.took_s:.1f} s"
        assert pod.leaving_at is not None
        there = self.pods.ready(pod.role, pod.leaving_at)
        assert len(there) >= _LEAST[pod.role], f"{pod.name} left only {len(there)}"

    def lines(self) -> list[str]:
        """Return the figures, for people."""
        rows = [
            (f"{self.what}, until the last former pod was gone", f"{self.seconds:.0f} s"),
            *self._rows_of_pods(),
            *self._rows_of_clients(),
        ]
        width = max(len(name) for name, _ in rows)
        return [f"{name:<{width}}  {figure}" for name, figure in rows]

    def _rows_of_pods(self) -> Iterator[Row]:
        for role in ROLES:
            pods = [pod for pod in self.former if pod.role == role]
            grace_s = max(pod.grace_s for pod in pods)
            name = f"{role}s: from being told to end to being gone (grace {grace_s} s)"
            yield name, _of(pod.took_s for pod in pods)

    def _rows_of_clients(self) -> Iterator[Row]:
        viewers, newcomers = self.scene.viewers, self.scene.newcomers
        stays = [stay.longest_gap_s for viewer in viewers for stay in viewer.stays]
        moves = [gap for viewer in viewers for gap in viewer.moves_s]
        yield f"{len(viewers)} viewers: longest gap while at one edge", _of(stays)
        yield f"viewers: gap of {len(moves)} moves from an edge that left", _of(moves)
        sessions = ", ".join(str(len(each.at)) for each in self.scene.encoders)
        yield "encoders: publish sessions of each", sessions
        waits = newcomers.waits_s
        yield f"{len(waits)} players came meanwhile: first message after", _of(waits)
        yield "encoders that came meanwhile, all accepted", str(newcomers.published)


def _check_stay(stay: Stay) -> None:
    assert stay.pod is not None
    assert not stay.went_back, f"time went back at {stay.pod.name}"
    assert stay.longest_gap_s < _LONGEST_GAP_S, f"{stay.longest_gap_s:.1f} s at {stay.pod.name}"
    if stay.ended_at is not None:
        cut = f"a viewer of {stay.pod.name} was cut"
        assert stay.pod.leaving_at is not None, f"{cut}, which stays"
        assert stay.pod.leaving_at < stay.ended_at, f"{cut} before that was to leave"


def _of(seconds: Iterable[float]) -> str:
    known = sorted(seconds)
    if not known:
        return "-"
    return f"p50 {median(known):.2f} s, max {known[-1]:.2f} s"
