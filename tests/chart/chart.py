"""Renders the chart, and finds its way in what comes out."""

import functools
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "helm" / "headwater"
CI_VALUES: Final = sorted((CHART / "ci").glob("*-values.yaml"))
KUBERNETES: Final = tuple(f"1.{minor}" for minor in range(29, 37))
NEWEST: Final = KUBERNETES[-1]
ROLES: Final = ("origin", "edge")
WORKLOADS: Final = ("Deployment", "StatefulSet")
TOOLS: Final = Path(sys.executable).parent
PRODUCT: Final = ROOT / ".venv" / "bin" / "python"
"""The product's own environment, for questions to the product itself."""

Object = dict[str, Any]


class RenderError(Exception):
    """helm refused; the text is what it said."""


@dataclass(frozen=True)
class Rendered:
    """The objects that came out of the chart."""

    objects: tuple[Object, ...]

    def of_kind(self, *kinds: str) -> list[Object]:
        """Return the objects of these kinds."""
        return [each for each in self.objects if each["kind"] in kinds]

    def one(self, kind: str, name: str) -> Object:
        """Return the object whose name ends so."""
        (found,) = [each for each in self.of_kind(kind) if each["metadata"]["name"].endswith(name)]
        return found

    def pods(self) -> Iterator[tuple[str, Object]]:
        """Yield the labels' owner and template of everything that makes pods."""
        for each in self.of_kind(*WORKLOADS):
            yield f"{each['kind']}/{each['metadata']['name']}", each["spec"]["template"]
        for each in self.of_kind("Pod"):
            yield f"Pod/{each['metadata']['name']}", each

    def containers(self) -> Iterator[tuple[str, Object]]:
        """Yield every container with a name for messages."""
        for owner, pod in self.pods():
            for kind in ("initContainers", "containers"):
                for container in pod["spec"].get(kind, []):
                    yield f"{owner}/{container['name']}", container

    def settings(self, role: str) -> Object:
        """Return the settings file of a role."""
        data = self.one("ConfigMap", f"-{role}")["data"]
        loaded: Object = yaml.safe_load(data["headwater.yaml"])
        return loaded


def container_of(workload: Object, name: str) -> Object:
    """Return the container of that name."""
    containers = workload["spec"]["template"]["spec"]["containers"]
    (found,) = [each for each in containers if each["name"] == name]
    return dict(found)


def render(
    values: Path | None = None,
    sets: Mapping[str, object] | None = None,
    *,
    kubernetes: str = NEWEST,
    apis: Sequence[str] = (),
) -> Rendered:
    """Return what `helm template` makes of a file of values and of single ones.

    Without a file, a Redis URL is set: the one thing that has no default. Raises RenderError.
    """
    given = dict(sets or {})
    if values is None:
        given.setdefault("redis.url", "redis://redis.example:6379/0")
    flags = [f"--set-json={path}={json.dumps(value)}" for path, value in given.items()]
    return _render(values, tuple(flags), kubernetes, tuple(apis))


@functools.cache
def _render(
    values: Path | None, flags: tuple[str, ...], kubernetes: str, apis: tuple[str, ...]
) -> Rendered:
    done = helm(
        *("template", "rel", str(CHART), "--namespace", "live"),
        *("--kube-version", f"{kubernetes}.0"),
        *(("--values", str(values)) if values else ()),
        *(f"--api-versions={api}" for api in apis),
        *flags,
    )
    return Rendered(tuple(each for each in yaml.load_all(done, Loader=_StrictLoader) if each))


def helm(*arguments: str) -> str:
    """Run helm and return what it printed. Raises RenderError."""
    done = subprocess.run(
        [str(TOOLS / "helm"), *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RenderError(done.stderr + done.stdout)
    return done.stdout


class _StrictLoader(yaml.CSafeLoader):
    """Refuses a key that is there twice: Kubernetes would take the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"{node.start_mark}: a key is there twice in {keys}"
        return super().construct_mapping(node, deep)


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Say whether matchLabels fit."""
    return bool(selector) and selector.items() <= labels.items()
