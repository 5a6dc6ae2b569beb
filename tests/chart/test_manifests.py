"""The manifests under k8s/ are what the chart makes, and kustomize builds them."""

import shutil
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.chart import crds
from tests.chart.chart import NEWEST, ROOT, Object
from tests.chart.test_security import restricted_problems

K8S = ROOT / "k8s"
KUSTOMIZATIONS = sorted(file.parent for file in K8S.rglob("kustomization.yaml"))
BUILDABLE = [folder for folder in KUSTOMIZATIONS if folder.parent.name != "components"]
COMPONENTS = [folder for folder in KUSTOMIZATIONS if folder.parent.name == "components"]


def names(folders: list[Path]) -> list[str]:
    return [str(folder.relative_to(K8S)) for folder in folders]


def build(folder: Path) -> list[Object]:
    kubectl = shutil.which("kubectl") or pytest.skip("no kubectl: kustomizations are not built")
    done = subprocess.run(
        [kubectl, "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def check(objects: list[Object]) -> None:
    for each in objects:
        if each["apiVersion"].startswith(("monitoring.coreos.com", "keda.sh", "gateway.")):
            crds.validate(each)
        else:
            kubernetes_validate.validate(each, NEWEST, strict=True)
        if each["kind"] in ("Deployment", "StatefulSet"):
            assert restricted_problems(each["spec"]["template"]) == []


def test_the_manifests_are_current() -> None:
    done = subprocess.run(
        [sys.executable, str(K8S / "render.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("folder", KUSTOMIZATIONS, ids=names(KUSTOMIZATIONS))
def test_kustomizations_name_files_that_exist(folder: Path) -> None:
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    for each in kustomization.get("resources", []) + kustomization.get("components", []):
        assert (folder / each).exists(), each


@pytest.mark.parametrize("folder", BUILDABLE, ids=names(BUILDABLE))
def test_what_kustomize_builds_is_valid_and_in_one_namespace(folder: Path) -> None:
    objects = build(folder)
    check(objects)
    namespaced = [each for each in objects if each["kind"] != "Namespace"]
    assert {each["metadata"]["namespace"] for each in namespaced} == {"headwater"}


@pytest.mark.parametrize("folder", COMPONENTS, ids=names(COMPONENTS))
def test_every_component_goes_with_the_base(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(K8S, tmp_path / "k8s")
    overlay = copy / "overlays" / "one"
    overlay.mkdir()
    (overlay / "kustomization.yaml").write_text(
        f"resources: [../../base]\ncomponents: [../../components/{folder.name}]\n"
    )
    objects = build(overlay)
    check(objects)
    edge = next(each for each in objects if each["kind"] == "Deployment")
    assert ("replicas" in edge["spec"]) is (folder.name not in ("hpa", "keda"))


def test_production_takes_the_url_of_redis_from_a_secret() -> None:
    for each in build(K8S / "overlays" / "prod"):
        if each["kind"] in ("Deployment", "StatefulSet"):
            env = each["spec"]["template"]["spec"]["containers"][0]["env"]
            assert env[-1]["name"] == "HEADWATER_REDIS__URL"
            assert "secretKeyRef" in env[-1]["valueFrom"]
