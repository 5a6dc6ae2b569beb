"""A cluster of containers, each run as the chart would have its pod run."""

import asyncio
import json
import re
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Final

import aiohttp
import yaml

from tests.image.build import IMAGE, REDIS_IMAGE, ROOT
from tests.support.wait import until

NETWORK: Final = "cluster"
SUBNET: Final = "172.31.93"
GATEWAY: Final = f"{SUBNET}.1"
"""Where the balancer comes from: it runs beside the engine, not in a container."""
ADDRESSES: Final = {
    "redis": f"{SUBNET}.10",
    "origin-1": f"{SUBNET}.11",
    "origin-2": f"{SUBNET}.12",
    "edge-1": f"{SUBNET}.21",
    "edge-2": f"{SUBNET}.22",
}
ORIGINS: Final = ("origin-1", "origin-2")
EDGES: Final = ("edge-1", "edge-2")
VALUES: Final = {
    "redis.url": "redis://redis:6379/0",
    "log.level": "info",
    **{
        f"{role}.{name}": value
        for role, drain_s in (("origin", 20), ("edge", 12))
        for name, value in {
            "workers": 1,
            "drain.preStopSeconds": 2,
            "drain.seconds": drain_s,
            "proxyProtocol.enabled": True,
            "proxyProtocol.trustedCidrs": [GATEWAY],
        }.items()
    },
}

Object = dict[str, Any]


def docker(*arguments: str, timeout_s: float = 120) -> str:
    """Run docker and return what it printed."""
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, check=False, timeout=timeout_s
    )
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


@dataclass(frozen=True)
class Chart:
    """What the chart makes of VALUES."""

    objects: list[Object]

    def pod(self, role: str) -> Object:
        """Return the spec of a role's pods."""
        kind = {"origin": "StatefulSet", "edge": "Deployment"}[role]
        (found,) = [each for each in self.objects if each["kind"] == kind]
        return dict(found["spec"]["template"]["spec"])

    def settings_file(self, role: str) -> str:
        """Return the text of a role's settings file."""
        (found,) = [
            each
            for each in self.objects
            if each["kind"] == "ConfigMap" and each["metadata"]["name"].endswith(f"-{role}")
        ]
        return str(found["data"]["headwater.yaml"])


def render() -> Chart:
    """Render the chart with VALUES."""
    done = subprocess.run(
        [
            *(str(ROOT / ".venv-chart/bin/helm"), "template", "rel", str(ROOT / "helm/headwater")),
            *("--kube-version", "1.36.0"),
            *(f"--set-json={path}={json.dumps(value)}" for path, value in VALUES.items()),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Chart([each for each in yaml.safe_load_all(done.stdout) if each])


def flags_of(pod: Object) -> list[str]:
    """Return the flags of `docker run` that mean what a pod's contexts and volumes mean."""
    (container,) = pod["containers"]
    own, shared = container["securityContext"], pod["securityContext"]
    assert shared["seccompProfile"] == {"type": "RuntimeDefault"}  # the engine's default, too
    flags = [f"--user={shared['runAsUser']}:{shared['runAsGroup']}"]
    flags += [f"--cap-drop={each}" for each in own["capabilities"]["drop"]]
    if own["readOnlyRootFilesystem"]:
        flags.append("--read-only")
    if not own["allowPrivilegeEscalation"]:
        flags.append("--security-opt=no-new-privileges")
    memory = re.sub(r"i$", "", container["resources"]["limits"]["memory"]).lower()
    flags.append(f"--memory={memory}")
    scratch = {each["name"] for each in pod["volumes"] if "emptyDir" in each}
    for mount in container["volumeMounts"]:
        if mount["name"] in scratch:
            # As the kubelet makes an emptyDir under an fsGroup.
            flags.append(f"--tmpfs={mount['mountPath']}:gid={shared['fsGroup']},mode=2777")
    return flags


@dataclass
class Ending:
    """How a container ended."""

    seconds: float  # from SIGTERM
    code: int
    drain_s: float
    grace_s: float


@dataclass
class Containers:
    """The cluster's containers, by name."""

    folder: Path
    chart: Chart = field(default_factory=render)
    ended_logs: list[str] = field(default_factory=list)

    async def start(self) -> None:
        """Start all, and wait until they are ready."""
        docker("network", "create", f"--subnet={SUBNET}.0/24", f"--gateway={GATEWAY}", NETWORK)
        self._run("redis", REDIS_IMAGE, [])
        for name in (*ORIGINS, *EDGES):
            self.run_node(name)
        for name in (*ORIGINS, *EDGES):
            await self.until_ready(name)

    def stop(self) -> None:
        """End and remove all of them."""
        for name in ADDRESSES:
            subprocess.run(["docker", "rm", "--force", name], capture_output=True, check=False)
        subprocess.run(["docker", "network", "rm", NETWORK], capture_output=True, check=False)

    def run_node(self, name: str) -> None:
        """Start a node's container."""
        role = name.partition("-")[0]
        pod = self.chart.pod(role)
        (container,) = pod["containers"]
        file = self.folder / f"{role}.yaml"
        file.write_text(self.chart.settings_file(role))
        file.chmod(0o644)
        path = next(
            each["value"] for each in container["env"] if each["name"] == "HEADWATER_CONFIG"
        )
        self._run(
            name,
            IMAGE,
            [
                *flags_of(pod),
                f"--volume={file}:{path}:ro",
                f"--env=HEADWATER_CONFIG={path}",
                f"--env=HEADWATER_NODE__ADVERTISE_HOST={ADDRESSES[name]}",
            ],
            *container["args"],
        )

    def _run(self, name: str, image: str, flags: list[str], *command: str) -> None:
        place = (f"--network={NETWORK}", f"--ip={ADDRESSES[name]}", f"--hostname={name}")
        docker("run", "--detach", f"--name={name}", *place, *flags, image, *command)

    async def until_ready(self, name: str) -> None:
        """Wait until a node says on its admin port that clients may come."""

        async def is_ready() -> bool:
            return await self.ask(name, "/readyz") == 200

        try:
            await until(is_ready, 60)
        except TimeoutError:
            raise AssertionError(f"{name} is not ready:\n{self.log(name)}") from None

    async def ask(self, name: str, path: str) -> int:
        """Return the status of a page of a node's admin port; 0 when nobody answers."""
        with suppress(aiohttp.ClientError, TimeoutError):
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as http,
                http.get(f"http://{ADDRESSES[name]}:8080{path}") as answer,
            ):
                return answer.status
        return 0

    async def end(self, name: str) -> Ending:
        """End a node as the kubelet does: the preStop sleep, SIGTERM, the grace period."""
        pod = self.chart.pod(name.partition("-")[0])
        (container,) = pod["containers"]
        pre_stop = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        await asyncio.sleep(pre_stop)
        grace_s = pod["terminationGracePeriodSeconds"] - pre_stop
        began = monotonic()
        await asyncio.to_thread(docker, "stop", f"--time={grace_s}", name)
        seconds = monotonic() - began
        self.ended_logs.append(self.log(name))
        code = int(docker("inspect", "--format={{.State.ExitCode}}", name))
        docker("rm", name)
        settings = yaml.safe_load(self.chart.settings_file(name.partition("-")[0]))
        return Ending(seconds, code, settings["supervisor"]["drain_s"], grace_s)

    def log(self, name: str) -> str:
        """Return all that a container has logged."""
        done = subprocess.run(
            ["docker", "logs", name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        return done.stdout.decode(errors="replace")

    def process_status(self, name: str) -> dict[str, str]:
        """Return /proc/PID/status of a container's first process."""
        pid = docker("inspect", "--format={{.State.Pid}}", name)
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
