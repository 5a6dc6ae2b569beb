"""What must be true of a roll-out, and its figures."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Final

from tests.kubernetes.pods import Pod, Pods
from tests.kubernetes.scene import Scene
from tests.kubernetes.viewers import Stay, Viewer

ROLES: Final = ("origin", "edge")
_LONGEST_GAP_S: Final = (
    2.0  # on two cores that also run the control plane; see README.md for figures
)


@dataclass(frozen=True)
class RollOut:
    """Pods that were replaced while a scene was played."""

    what: str
    seconds: float
    former: list[Pod]
    scene: Scene

    async def check(self, pods: Pods) -> None:
        """Fail when somebody was harmed."""
        for pod in self.former:
            assert pod.exit_codes == [0], f"{pod.name} ended with {pod.exit_codes}"
            assert pod.took_s < pod.grace_s, f"{pod.name} took {pod.took_s:.1f} s"
        for pod in pods.by_id.values():
            assert pod.restarts == 0, f"{pod.name} was restarted"
        for viewer in self.scene.viewers:
            await viewer.until_more()
            _check_viewer(viewer)
        for encoder in self.scene.encoders:
            # Carried over: all origins are others now, and its viewers were seen to play on.
            assert not encoder.task.done(), encoder.task
            assert len(encoder.at) > 1
        newcomers = self.scene.newcomers
        assert not newcomers.problems, newcomers.problems
        assert newcomers.published
        assert newcomers.waits_s

    def lines(self) -> list[str]:
        """Return the figures, for people."""
        ended = {role: [pod.took_s for pod in self.former if pod.role == role] for role in ROLES}
        grace = {role: {pod.grace_s for pod in self.former if pod.role == role} for role in ROLES}
        moves = [gap for viewer in self.scene.viewers for gap in viewer.moves_s]
        stays = [stay for viewer in self.scene.viewers for stay in viewer.stays]
        encoders = self.scene.encoders
        rows = [
            (f"{self.what}, until the last former pod was gone", f"{self.seconds:.0f} s"),
            *(
                (
                    f"{role}s: from being told to end to being gone (grace {max(grace[role])} s)",
                    _of(ended[role]),
                )
                for role in ROLES
            ),
            ("viewers: longest gap while at one edge", _of(stay.longest_gap_s for stay in stays)),
            (f"viewers: gap of the {len(moves)} moves from an edge that left", _of(moves)),
            ("encoders: publish sessions", ", ".join(str(len(each.at)) for each in encoders)),
            (
                f"newcomers: {len(self.scene.newcomers.waits_s)} players, first message after",
                _of(self.scene.newcomers.waits_s),
            ),
            (f"newcomers: {self.scene.newcomers.published} encoders, all accepted", ""),
        ]
        width = max(len(name) for name, _ in rows)
        return [f"{name:<{width}}  {figure}" for name, figure in rows]


def _check_viewer(viewer: Viewer) -> None:
    assert not viewer.refused, viewer.refused
    for stay in viewer.stays:
        _check_stay(stay)


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
