"""The restricted Pod Security Standard, and what Kubernetes gives to pods unasked."""

from pathlib import Path

import pytest

from tests.chart.chart import CI_VALUES, Object, render

every_values = pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)

RESTRICTED_VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral"),
    *("persistentVolumeClaim", "projected", "secret"),
}


def restricted_problems(pod: Object) -> list[str]:
    """Return what the restricted standard has against a pod."""
    spec = pod["spec"]
    context = spec.get("securityContext", {})
    problems = [field for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    if context.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        problems.append("seccompProfile")
    if not context.get("runAsNonRoot") or context.get("runAsUser") == 0:
        problems.append("runAsNonRoot")
    if context.get("sysctls"):  # the chart sets none by itself
        problems.append("sysctls")
    problems += [
        f"volume {volume['name']}"
        for volume in spec.get("volumes", [])
        if not set(volume) - {"name"} <= RESTRICTED_VOLUMES
    ]
    for container in spec.get("initContainers", []) + spec["containers"]:
        problems += _container_problems(container)
    return problems


def _container_problems(container: Object) -> list[str]:
    context = container.get("securityContext", {})
    found = {
        "privileged": context.get("privileged", False),
        "allowPrivilegeEscalation": context.get("allowPrivilegeEscalation", True),
        "capabilities": context.get("capabilities", {}) != {"drop": ["ALL"]},
        "procMount": "procMount" in context,
        "hostPort": any("hostPort" in port for port in container.get("ports", [])),
        "probe host": any(
            "host" in container.get(probe, {}).get("httpGet", {})
            for probe in ("startupProbe", "livenessProbe", "readinessProbe")
        ),
    }
    return [f"{container['name']}: {name}" for name, wrong in found.items() if wrong]


@every_values
def test_every_pod_is_restricted(values: Path) -> None:
    for owner, pod in render(values).pods():
        assert restricted_problems(pod) == [], owner


def test_the_check_finds_what_is_not_restricted() -> None:
    loose = render(
        sets={
            "edge.securityContext": {
                "privileged": True,
                "allowPrivilegeEscalation": True,
                "capabilities": {"add": ["NET_ADMIN"]},
            },
            "edge.podSecurityContext": {"runAsUser": 0, "seccompProfile": None},
            "edge.extraVolumes": [{"name": "host", "hostPath": {"path": "/"}}],
        }
    )
    (pod,) = [pod for owner, pod in loose.pods() if owner == "Deployment/rel-headwater-edge"]
    assert set(restricted_problems(pod)) == {
        "seccompProfile",
        "runAsNonRoot",
        "volume host",
        "edge: privileged",
        "edge: allowPrivilegeEscalation",
        "edge: capabilities",
    }


@every_values
def test_roots_are_read_only_and_users_are_numbers_above_ten_thousand(values: Path) -> None:
    rendered = render(values)
    for name, container in rendered.containers():
        assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
    for owner, pod in rendered.pods():
        assert pod["spec"]["securityContext"]["runAsUser"] > 10_000, owner


@every_values
def test_pods_get_no_token_and_no_variables_of_services(values: Path) -> None:
    for owner, pod in render(values).pods():
        assert pod["spec"]["automountServiceAccountToken"] is False, owner
        assert pod["spec"]["enableServiceLinks"] is False, owner


@every_values
def test_memory_is_limited_and_the_cpu_is_not(values: Path) -> None:
    for name, container in render(values).containers():
        if name.rpartition("/")[2] in ("first", "beside"):
            continue  # of the file of values, not of the chart
        resources = container["resources"]
        assert "cpu" in resources["requests"], name
        assert list(resources["limits"]) == ["memory"], name


@every_values
def test_scratch_space_is_bounded(values: Path) -> None:
    for owner, pod in render(values).pods():
        for volume in pod["spec"].get("volumes", []):
            if volume["name"] != "more" and "emptyDir" in volume:
                assert "sizeLimit" in volume["emptyDir"], owner


@every_values
def test_no_secret_is_in_a_config_map_or_a_variable(values: Path) -> None:
    rendered = render(values)
    assert not rendered.of_kind("Secret")
    for each in rendered.of_kind("ConfigMap"):
        assert "password:" not in str(each.get("data", {}).get("headwater.yaml", ""))
    for name, container in rendered.containers():
        for variable in container.get("env", []):
            if "PASSWORD" in variable["name"] or variable["name"].endswith("_URL"):
                assert "secretKeyRef" in variable["valueFrom"], name
