"""What becomes of the release's pods, from when they are made to how they end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic

from tests.kubernetes.api import Api, Object
from tests.kubernetes.helm import NAMESPACE
from tests.support.wait import until

PATH = f"/api/v1/namespaces/{NAMESPACE}/pods"


@dataclass
class Pod:
    """One pod; times are monotonic."""

    name: str
    role: str
    grace_s: int
    made_at: float = field(default_factory=monotonic)
    address: str = ""
    image: str = ""
    is_ready: bool = False
    ready_at: float | None = None
    leaving_at: float | None = None
    gone_at: float | None = None
    exit_codes: list[int] = field(default_factory=list)
    restarts: int = 0

    @property
    def is_leaving(self) -> bool:
        """Whether it has been told to end."""
        return self.leaving_at is not None

    @property
    def took_s(self) -> float:
        """How long it took to end."""
        assert self.leaving_at is not None, f"{self.name} has not been told to end"
        assert self.gone_at is not None, f"{self.name} is still there"
        return self.gone_at - self.leaving_at

    def note(self, seen: Object) -> None:
        """Take over what the API says of it now."""
        status = seen["status"]
        containers = status.get("containerStatuses", [])
        self.address = status.get("podIP", self.address)
        self.image = seen["spec"]["containers"][0]["image"]
        self.is_ready = any(
            each["type"] == "Ready" and each["status"] == "True"
            for each in status.get("conditions", [])
        )
        if self.is_ready and self.ready_at is None:
            self.ready_at = monotonic()
        if "deletionTimestamp" in seen["metadata"] and self.leaving_at is None:
            self.leaving_at = monotonic()
        self.restarts = sum(each["restartCount"] for each in containers)
        ended = [
            each["state"]["terminated"] for each in containers if "terminated" in each["state"]
        ]
        self.exit_codes = [each["exitCode"] for each in ended] or self.exit_codes


class Pods:
    """All pods of the release since it is watched."""

    def __init__(self) -> None:
        self.by_id: dict[str, Pod] = {}

    def of(self, role: str) -> list[Pod]:
        """Return the pods of a role that are there and are not leaving, by name."""
        there = [
            pod
            for pod in self.by_id.values()
            if pod.role == role and not pod.is_leaving and pod.gone_at is None
        ]
        return sorted(there, key=lambda pod: pod.name)

    def ready(self, role: str, moment: float) -> list[Pod]:
        """Return the pods of a role that took clients at a moment, and were to stay."""
        return [
            pod
            for pod in self.by_id.values()
            if pod.role == role
            and (pod.ready_at is not None and pod.ready_at <= moment)
            and (pod.leaving_at is None or pod.leaving_at > moment)
        ]

    def at(self, address: str) -> Pod:
        """Return the latest pod with an address."""
        return [pod for pod in self.by_id.values() if pod.address == address][-1]

    async def until_only(self, role: str, count: int, timeout_s: float = 120) -> list[Pod]:
        """Wait until a role has so many pods, all ready, and no others any more; return them."""

        def settled() -> bool:
            there = [pod for pod in self.by_id.values() if pod.role == role and pod.gone_at is None]
            return len(there) == count and all(pod.is_ready for pod in there)

        await until(settled, timeout_s)
        return self.of(role)

    def take(self, kind: str, seen: Object) -> None:
        """Take an event of the API."""
        metadata = seen["metadata"]
        pod = self.by_id.setdefault(
            metadata["uid"],
            Pod(
                metadata["name"],
                metadata["labels"].get("app.kubernetes.io/component", ""),
                seen["spec"]["terminationGracePeriodSeconds"],
            ),
        )
        pod.note(seen)
        if kind == "DELETED":
            pod.gone_at = monotonic()


@asynccontextmanager
async def watched(api: Api) -> AsyncIterator[Pods]:
    """Watch the pods for the length of the block."""
    pods = Pods()

    async def watch() -> None:
        async for kind, seen in api.watch(PATH):
            pods.take(kind, seen)

    task = asyncio.create_task(watch())
    try:
        await until(lambda: bool(pods.by_id) or task.done())
        yield pods
        assert not task.done(), "the API server has ended the watch"
    finally:
        task.cancel()
        await asyncio.wait({task})
