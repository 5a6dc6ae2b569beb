"""How well a node is: four questions with four different answers.

* live: does the supervisor's loop turn? A no means: restart me.
* ready: can this node take a new publisher or viewer? A no means: send nobody here.
* started: have all workers been ready once? Until then the other two are not to be judged.
* status: is all as it should be? For people and alerts; no probe looks at it.

Redis being away makes a node degraded and nothing else: its streams go on, so a probe that
failed then would turn an outage of the table into an outage of the cluster.
"""

from dataclasses import dataclass
from enum import StrEnum


class HealthStatus(StrEnum):
    """The node in one word."""

    OK = "ok"
    DEGRADED = "degraded"
    DRAINING = "draining"
    STARTING = "starting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One thing that the node depends on, such as Redis."""

    name: str
    ok: bool
    reason: str = ""  # when not ok: "unreachable since 2026-01-31T10:00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeHealth:
    """The facts, filled in by the supervisor; the answers are made here."""

    workers: int  # that there should be
    ready_workers: int
    started: bool  # all workers have been ready once
    draining: bool = False
    components: tuple[Component, ...] = ()

    @property
    def not_ready_reason(self) -> str:
        """Why no new work may be sent here; empty when it may."""
        if self.draining:
            return "draining"
        if self.ready_workers == 0:
            return f"none of {self.workers} workers is ready"
        return ""

    @property
    def all_components(self) -> tuple[Component, ...]:
        """The workers as a component of their own, then the others."""
        missing = self.workers - self.ready_workers
        reason = f"{missing} of {self.workers} are not ready" if missing > 0 else ""
        return (Component(name="workers", ok=missing <= 0, reason=reason), *self.components)

    @property
    def status(self) -> HealthStatus:
        """The node in one word; what explains most comes first."""
        if self.draining:
            return HealthStatus.DRAINING
        if not self.started:
            return HealthStatus.STARTING
        if all(component.ok for component in self.all_components):
            return HealthStatus.OK
        return HealthStatus.DEGRADED

    def as_dict(self) -> dict[str, object]:
        """Return what /healthz shows."""
        return {
            "status": self.status,
            "components": {
                component.name: {"status": "ok" if component.ok else "degraded"}
                | ({"reason": component.reason} if component.reason else {})
                for component in self.all_components
            },
        }
