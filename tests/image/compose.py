"""docker/compose.yaml, run by `docker compose`, with local images in place of a registry's."""

import json
import os
import subprocess
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, time
from typing import Any, Final

from tests.image import programs
from tests.image.build import BASE, BUILD_BASE, ROOT
from tests.image.containers import docker

FILES: Final = (ROOT / "docker/compose.yaml", ROOT / "tests/image/compose.local.yaml")
NODES: Final = ("origin-1", "origin-2", "edge-1", "edge-2")
SERVICES: Final = (*NODES, "redis", "balancer", "prometheus")
LEFT_OUT: Final = "grafana"
"""Debian has no package of it, and nothing else that can be reached has its program."""

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Endings:
    """How `docker compose down` went."""

    seconds: float
    codes: dict[str, int]  # of the services' containers


class Compose:
    """A project of `docker compose`; ``folder`` is what `tests.image.build.fetch` filled."""

    def __init__(self, folder: Path) -> None:
        fetched = folder / "compose"
        self._environment = {
            **os.environ,
            "DOCKER_CONFIG": str(fetched / programs.DOCKER_CONFIG),
            "DOCKER_BUILDKIT": "1",  # as everybody has it today
            "HEADWATER_BASE": BASE,
            "HEADWATER_BUILD_BASE": BUILD_BASE,
            "HEADWATER_CONTEXT": str(folder / "headwater"),
            "HEADWATER_DEBS": str(fetched / programs.DEBS),
            "HEADWATER_STAND_INS": str(ROOT / "tests/image/stand-ins.Dockerfile"),
        }

    def run(self, *arguments: str, timeout_s: float = 300) -> str:
        """Run `docker compose` and return what it printed."""
        done = subprocess.run(
            ["docker", "compose", *(f"--file={each}" for each in FILES), *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        assert done.returncode == 0, f"docker compose {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def states(self) -> dict[str, Object]:
        """Return what the engine knows of each service's container."""
        names = self.run("ps", "--all", "--quiet").split()
        found = json.loads(docker("inspect", *names)) if names else []
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in found}

    def log(self, service: str) -> str:
        """Return all that a service has logged."""
        return self.run("logs", "--no-color", "--no-log-prefix", service)

    def fetch_inside(self, url: str) -> int:
        """Return the status of a page as a container on the network gets it."""
        look = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).status)"
        return int(self.run("exec", "-T", NODES[0], "python", "-c", look, url))

    def down(self) -> Endings:
        """End and remove everything."""
        began, since = monotonic(), time()
        self.run("down", "--volumes", timeout_s=120)
        seconds = monotonic() - began
        events = docker(
            *("events", f"--since={since:.3f}", f"--until={time():.3f}", "--format={{json .}}"),
            *("--filter=type=container", "--filter=event=die"),
        )
        ended = [json.loads(line)["Actor"]["Attributes"] for line in events.splitlines()]
        codes = {each["com.docker.compose.service"]: int(each["exitCode"]) for each in ended}
        return Endings(seconds, codes)


def ask_prometheus(path: str, **parameters: str) -> Any:
    """Return the data that the API of the cluster's Prometheus answers with, on its public port."""
    query = urllib.parse.urlencode(parameters)
    with urllib.request.urlopen(f"http://localhost:9090/api/v1/{path}?{query}", timeout=5) as got:
        answer = json.load(got)
    assert answer["status"] == "success", answer
    return answer["data"]
