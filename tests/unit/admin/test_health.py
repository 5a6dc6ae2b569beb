import pytest

from common.admin.health import Component, HealthStatus, NodeHealth

REDIS_DOWN = Component(name="redis", ok=False, reason="unreachable since 2026-01-31T10:00:00Z")


def health(
    ready: int = 3, *, started: bool = True, draining: bool = False, redis_ok: bool = True
) -> NodeHealth:
    redis = Component(name="redis", ok=True) if redis_ok else REDIS_DOWN
    return NodeHealth(
        workers=3, ready_workers=ready, started=started, draining=draining, components=(redis,)
    )


@pytest.mark.parametrize(
    ("node", "status", "not_ready"),
    [
        (health(), HealthStatus.OK, ""),
        (health(redis_ok=False), HealthStatus.DEGRADED, ""),
        (health(ready=1), HealthStatus.DEGRADED, ""),
        (health(ready=0), HealthStatus.DEGRADED, "none of 3 workers is ready"),
        (health(ready=0, started=False), HealthStatus.STARTING, "none of 3 workers is ready"),
        (health(ready=1, started=False), HealthStatus.STARTING, ""),
        (health(draining=True, redis_ok=False), HealthStatus.DRAINING, "draining"),
    ],
)
def test_status_and_readiness(node: NodeHealth, status: HealthStatus, not_ready: str) -> None:
    assert node.status is status
    assert node.not_ready_reason == not_ready


def test_the_health_page_says_of_each_component_what_is_wrong() -> None:
    assert health(ready=2, redis_ok=False).as_dict() == {
        "status": "degraded",
        "components": {
            "workers": {"status": "degraded", "reason": "1 of 3 are not ready"},
            "redis": {"status": "degraded", "reason": "unreachable since 2026-01-31T10:00:00Z"},
        },
    }
