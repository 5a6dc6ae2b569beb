"""Writes the manifests under k8s/ anew from the chart: ``python k8s/render.py [--check]``.

Each file holds what one call of `helm template` makes, without the labels that only Helm reads.
The kustomizations around them are written by hand.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

K8S: Final = Path(__file__).parent
CHART: Final = K8S.parent / "helm" / "headwater"
KUBERNETES: Final = "1.34.0"
"""What the manifests are for; the chart also serves older ones, back to 1.29."""
HEAD: Final = "# Made from helm/headwater by `make manifests`; changes belong there.\n"

Object = dict[str, Any]
_HELMS_OWN: Final = ("helm.sh/chart", "app.kubernetes.io/managed-by")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A file, the values that it is rendered with, and which of the objects belong to it."""

    path: str
    takes: Callable[[Object], bool]
    values: Mapping[str, object] = field(default_factory=dict)


def _component(*names: str) -> Callable[[Object], bool]:
    return lambda each: each["metadata"]["labels"]["app.kubernetes.io/component"] in names


def _kind(*kinds: str) -> Callable[[Object], bool]:
    return lambda each: each["kind"] in kinds


def _is_http_service(each: Object) -> bool:
    return _kind("Service")(each) and str(each["metadata"]["name"]).endswith("-http")


# Where the component "valkey" is; overlays give another one by HEADWATER_REDIS__URL.
BASE: Final = {
    "redis.url": "redis://headwater-valkey:6379/0",
    "networkPolicy.redis.ports": [6379, 26379],
    "tests.enabled": False,
}
KEDA: Final = {
    "edge.autoscaling.engine": "keda",
    "edge.autoscaling.keda.serverAddress": "http://prometheus.monitoring:9090",
}
ROUTES: Final = {
    f"gateway.{role}": {"enabled": True, "parentRefs": [{"name": "rtmp", "sectionName": role}]}
    for role in ("origin", "edge")
}
# An overlay puts its own hosts in place of these.
INGRESSES: Final = {
    f"{role}.ingress": {"enabled": True, "hosts": [f"{role}.headwater.example"]}
    for role in ("origin", "edge")
}
HTTP_ROUTES: Final = {
    f"{role}.httpRoute": {
        "enabled": True,
        "parentRefs": [{"name": "http"}],
        "hostnames": [f"{role}.headwater.example"],
    }
    for role in ("origin", "edge")
}
MANIFESTS: Final = (
    Manifest(path="base/common.yaml", takes=_component("node")),
    Manifest(path="base/origin.yaml", takes=_component("origin")),
    Manifest(path="base/edge.yaml", takes=_component("edge")),
    Manifest(
        path="components/valkey/valkey.yaml",
        takes=_component("valkey"),
        values={"redis.url": "", "valkey.enabled": True},
    ),
    Manifest(
        path="components/monitoring/monitoring.yaml",
        takes=lambda each: _component("monitoring")(each) or _kind("PodMonitor")(each),
        values={
            "metrics.podMonitor.enabled": True,
            "metrics.prometheusRule.enabled": True,
            "metrics.dashboards.enabled": True,
            "edge.autoscaling.enabled": True,  # an alert of its own, silent without an autoscaler
        },
    ),
    Manifest(
        path="components/hpa/hpa.yaml",
        takes=_kind("HorizontalPodAutoscaler"),
        values={"edge.autoscaling.enabled": True},
    ),
    Manifest(
        path="components/keda/keda.yaml",
        takes=_kind("ScaledObject"),
        values={"edge.autoscaling.enabled": True, **KEDA},
    ),
    Manifest(path="components/gateway/tcproutes.yaml", takes=_kind("TCPRoute"), values=ROUTES),
    Manifest(
        path="components/ingress/ingress.yaml",
        takes=lambda each: _kind("Ingress")(each) or _is_http_service(each),
        values=INGRESSES,
    ),
    Manifest(
        path="components/httproute/httproute.yaml",
        takes=lambda each: _kind("HTTPRoute")(each) or _is_http_service(each),
        values=HTTP_ROUTES,
    ),
)


def render(manifest: Manifest) -> str:
    """Return the text of a file."""
    objects = [_plain(each) for each in _objects(manifest.values) if manifest.takes(each)]
    return HEAD + yaml.safe_dump_all(objects, sort_keys=False, width=100, explicit_start=True)


def _objects(values: Mapping[str, object]) -> Iterator[Object]:
    sets = [f"--set-json={path}={json.dumps(value)}" for path, value in {**BASE, **values}.items()]
    done = subprocess.run(
        [
            *(_helm(), "template", "headwater", str(CHART), "--namespace", "headwater"),
            *("--kube-version", KUBERNETES, "--skip-tests", *sets),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    return (each for each in yaml.safe_load_all(done.stdout) if each)


def _helm() -> str:
    beside = Path(sys.executable).parent
    found = shutil.which("helm", path=f"{beside}{os.pathsep}{os.environ.get('PATH', '')}")
    return found or sys.exit("no helm on the PATH: make manifests brings one")


def _plain(each: Object) -> Object:
    template = each.get("spec", {}).get("template", {}).get("metadata", {})
    for metadata in (each["metadata"], template):
        for label in _HELMS_OWN:
            metadata.get("labels", {}).pop(label, None)
    del each["metadata"]["namespace"]  # the kustomization's to say
    return each


def main() -> int:
    """Write all files, or say which are not current; return the exit code."""
    stale = []
    for manifest in MANIFESTS:
        file, text = K8S / manifest.path, render(manifest)
        if not file.exists() or file.read_text() != text:
            stale.append(manifest.path)
            if "--check" not in sys.argv[1:]:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
    if stale and "--check" in sys.argv[1:]:
        sys.stderr.write(f"not current: {', '.join(stale)}; make manifests\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
