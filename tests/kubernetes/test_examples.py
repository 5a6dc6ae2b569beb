"""Every example of values, and the manifests without Helm, as a real API server sees them.

Run by tests/kubernetes/run.py beside a cluster of its own.
"""

import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from tests.kubernetes.api import Api, connected
from tests.kubernetes.helm import CHART
from tests.kubernetes.programs import KUBERNETES
from tests.kubernetes.say import say
from tests.kubernetes.tools import HELM, ROOT

pytestmark = pytest.mark.skipif(
    "HEADWATER_CLUSTER_TOKEN" not in os.environ, reason="run by `make cluster-test`"
)
NAMESPACE = "examples"
VALUES = sorted((CHART / "ci").glob("*-values.yaml"))
MANIFESTS = {file.stem: file.read_text() for file in (ROOT / "k8s" / "base").glob("*.yaml")}


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with connected(os.environ["HEADWATER_CLUSTER_TOKEN"]) as api:
        await api.make_namespace(NAMESPACE)
        yield api


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
async def test_the_server_takes_what_the_chart_makes_of_an_example(api: Api, values: Path) -> None:
    await assert_taken(api, render(values))


@pytest.mark.parametrize("part", ["common", "origin", "edge"])
async def test_the_server_takes_the_manifests(api: Api, part: str) -> None:
    await assert_taken(api, MANIFESTS[part])


def render(values: Path) -> str:
    """Return what `helm template` makes of a file of values."""
    return subprocess.run(
        [
            *(str(HELM), "template", "rel", str(CHART), "--values", str(values)),
            *("--namespace", NAMESPACE, "--kube-version", KUBERNETES),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


async def assert_taken(api: Api, objects: str) -> None:
    """Have the server check objects as when they are made: fail at refusals and at warnings.

    Warnings tell fields that it does not know or will not know for long, and what the restricted
    Pod Security Standard forbids. Kinds that it does not know (those of operators) are left out.
    """
    paths = await api.paths_of_kinds(NAMESPACE)
    left_out = []
    for each in yaml.safe_load_all(objects):
        if each is None:
            continue
        kind = (each["apiVersion"], each["kind"])
        if kind not in paths:
            left_out.append(each["kind"])
            continue
        each["metadata"].pop("namespace", None)  # an example has one of its own
        if each["kind"] == "ServiceAccount":
            # For real, as pods are refused without theirs.
            assert await api.post(paths[kind], each) in (201, 409)
            continue
        status, told = await api.try_out(paths[kind], each)
        assert (status, told) == (201, []), f"{kind[1]} {each['metadata']['name']}: {told}"
    if left_out:
        say(f"not checked: {', '.join(left_out)}")
