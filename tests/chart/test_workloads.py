"""Pods: how they start, are asked, end and where they go."""

from pathlib import Path

import pytest

from tests.chart.chart import (
    CI_VALUES,
    ROLES,
    WORKLOADS,
    Object,
    Rendered,
    container_of,
    render,
    selects,
)

every_values = pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
every_role = pytest.mark.parametrize("role", ROLES)


def workload(rendered: Rendered, role: str) -> Object:
    return rendered.one("StatefulSet" if role == "origin" else "Deployment", f"-{role}")


@every_values
def test_selectors_select_their_own_pods_and_no_others(values: Path) -> None:
    workloads = render(values).of_kind(*WORKLOADS)
    for each in workloads:
        selector = each["spec"]["selector"]["matchLabels"]
        selected = [
            other["metadata"]["name"]
            for other in workloads
            if selects(selector, other["spec"]["template"]["metadata"]["labels"])
        ]
        assert selected == [each["metadata"]["name"]]


@every_values
def test_selectors_never_change(values: Path) -> None:
    for each in render(values).of_kind(*WORKLOADS):
        assert set(each["spec"]["selector"]["matchLabels"]) == {
            "app.kubernetes.io/name",
            "app.kubernetes.io/instance",
            "app.kubernetes.io/component",
        }
        assert "volumeClaimTemplates" not in each["spec"]


@every_values
def test_a_chart_version_alone_restarts_no_pod(values: Path) -> None:
    for each in render(values).of_kind(*WORKLOADS):
        assert "helm.sh/chart" not in each["spec"]["template"]["metadata"]["labels"]


def test_origins_start_side_by_side_behind_their_headless_service() -> None:
    rendered = render()
    origins = workload(rendered, "origin")["spec"]
    service = rendered.one("Service", "-origin-headless")
    assert origins["podManagementPolicy"] == "Parallel"
    assert origins["serviceName"] == service["metadata"]["name"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True


@every_values
def test_the_grace_period_holds_pre_stop_drain_and_margin(values: Path) -> None:
    rendered = render(values)
    for role in ROLES:
        found = [
            each
            for each in rendered.of_kind(*WORKLOADS)
            if each["metadata"]["name"].endswith(f"-{role}")
        ]
        if not found:
            continue  # this release runs no such role
        pod = found[0]["spec"]["template"]["spec"]
        container = next(each for each in pod["containers"] if each["name"] == role)
        pre_stop = container["lifecycle"]["preStop"].get("sleep", {}).get("seconds", 0)
        drain = rendered.settings(role)["supervisor"]["drain_s"]
        assert pod["terminationGracePeriodSeconds"] >= pre_stop + drain + 5


def test_the_grace_period_is_computed_and_may_be_longer() -> None:
    drain = {"edge.drain.preStopSeconds": 150, "edge.drain.seconds": 400}
    assert _grace(render(sets=drain)) == 150 + 400 + 15
    assert _grace(render(sets={**drain, "edge.terminationGracePeriodSeconds": 3600})) == 3600


def _grace(rendered: Rendered) -> int:
    spec = workload(rendered, "edge")["spec"]["template"]["spec"]
    return int(spec["terminationGracePeriodSeconds"])


@every_role
@pytest.mark.parametrize(("kubernetes", "action"), [("1.29", "exec"), ("1.30", "sleep")])
def test_pre_stop_sleeps_as_this_kubernetes_can(role: str, kubernetes: str, action: str) -> None:
    container = container_of(workload(render(kubernetes=kubernetes), role), role)
    assert list(container["lifecycle"]["preStop"]) == [action]
    assert "15" in str(container["lifecycle"]["preStop"])


def test_no_pre_stop_and_another_one() -> None:
    none = render(sets={"edge.drain.preStopSeconds": 0})
    assert "lifecycle" not in container_of(workload(none, "edge"), "edge")
    other = {"preStop": {"httpGet": {"path": "/leave", "port": "admin"}}}
    own = render(sets={"edge.lifecycle": other})
    assert container_of(workload(own, "edge"), "edge")["lifecycle"] == other


@every_role
def test_three_probes_ask_three_questions_of_the_admin_port(role: str) -> None:
    container = container_of(workload(render(), role), role)
    asked = {
        kind: container[kind]["httpGet"]
        for kind in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert asked == {
        "startupProbe": {"path": "/startupz", "port": "admin"},
        "livenessProbe": {"path": "/livez", "port": "admin"},
        "readinessProbe": {"path": "/readyz", "port": "admin"},
    }


def test_a_start_may_take_as_long_as_the_node_gives_its_workers() -> None:
    # supervisor.start_timeout_s is 30: a node that is slow to start must not be killed before.
    probe = container_of(workload(render(), "edge"), "edge")["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 60


@every_role
@pytest.mark.parametrize("engine", ["hpa", "keda"])
def test_an_autoscaler_has_the_number_of_replicas_to_itself(role: str, engine: str) -> None:
    assert "replicas" in workload(render(), role)["spec"]
    rendered = render(
        sets={
            f"{role}.autoscaling.enabled": True,
            f"{role}.autoscaling.engine": engine,
            f"{role}.autoscaling.keda.serverAddress": "http://prometheus",
        }
    )
    assert "replicas" not in workload(rendered, role)["spec"]


@every_role
def test_nodes_learn_their_address_and_zone_from_kubernetes(role: str) -> None:
    env = {each["name"]: each for each in container_of(workload(render(), role), role)["env"]}
    address = env["HEADWATER_NODE__ADVERTISE_HOST"]["valueFrom"]["fieldRef"]["fieldPath"]
    zone = env["HEADWATER_NODE__ZONE"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert address == "status.podIP"
    assert zone == "metadata.labels['topology.kubernetes.io/zone']"


def test_a_zone_given_takes_the_place_of_the_label() -> None:
    rendered = render(sets={"zone": "eu-1"})
    names = [each["name"] for each in container_of(workload(rendered, "edge"), "edge")["env"]]
    assert "HEADWATER_NODE__ZONE" not in names
    assert rendered.settings("edge")["node"]["zone"] == "eu-1"


@every_values
def test_no_variable_volume_mount_or_port_is_there_twice(values: Path) -> None:
    rendered = render(values)
    for name, container in rendered.containers():
        for field, key in (("env", "name"), ("ports", "name"), ("volumeMounts", "mountPath")):
            keys = [each[key] for each in container.get(field, [])]
            assert len(keys) == len(set(keys)), f"{name}: {field}"
        numbers = [each["containerPort"] for each in container.get("ports", [])]
        assert len(numbers) == len(set(numbers)), name
    for owner, pod in rendered.pods():
        volumes = [each["name"] for each in pod["spec"].get("volumes", [])]
        assert len(volumes) == len(set(volumes)), owner


@every_values
def test_every_mount_has_its_volume_and_every_volume_its_mount(values: Path) -> None:
    for owner, pod in render(values).pods():
        containers = pod["spec"].get("initContainers", []) + pod["spec"]["containers"]
        mounted = {mount["name"] for each in containers for mount in each.get("volumeMounts", [])}
        assert mounted == {each["name"] for each in pod["spec"].get("volumes", [])}, owner


@every_role
def test_pods_change_with_their_settings_only(role: str) -> None:
    other = "edge" if role == "origin" else "origin"
    before = workload(render(), role)["spec"]["template"]
    same = render(sets={f"{other}.config": {"gop": {"max_seconds": 5}}})
    assert workload(same, role)["spec"]["template"] == before
    changed = render(sets={f"{role}.config": {"gop": {"max_seconds": 5}}})
    assert workload(changed, role)["spec"]["template"] != before


@every_role
def test_pods_spread_over_zones_and_hosts(role: str) -> None:
    pod = workload(render(), role)["spec"]["template"]
    constraints = pod["spec"]["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in constraints] == [
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    ]
    for each in constraints:
        assert selects(each["labelSelector"]["matchLabels"], pod["metadata"]["labels"])
        assert each.get("matchLabelKeys") == (["pod-template-hash"] if role == "edge" else None)


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("soft", "preferredDuringSchedulingIgnoredDuringExecution"),
        ("hard", "requiredDuringSchedulingIgnoredDuringExecution"),
    ],
)
def test_anti_affinity(kind: str, field: str) -> None:
    affinity = _affinity(render(sets={"edge.antiAffinity": kind}))
    assert list(affinity["podAntiAffinity"]) == [field]


def test_no_anti_affinity_or_an_affinity_of_ones_own() -> None:
    assert _affinity(render(sets={"edge.antiAffinity": "none"})) == {}
    own = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}
    assert _affinity(render(sets={"edge.affinity": own})) == own


def _affinity(rendered: Rendered) -> Object:
    spec = workload(rendered, "edge")["spec"]["template"]["spec"]
    return dict(spec.get("affinity", {}))


def test_rolling_updates_leave_nobody_without_a_pod() -> None:
    rendered = render()
    edges, origins = workload(rendered, "edge")["spec"], workload(rendered, "origin")["spec"]
    assert edges["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    # An origin that comes back is believed only when the leases of its former life have ended.
    assert origins["minReadySeconds"] > 10


def test_images_by_registry_tag_and_digest() -> None:
    def image(**sets: object) -> str:
        rendered = render(sets={path.replace("__", "."): value for path, value in sets.items()})
        return str(container_of(workload(rendered, "edge"), "edge")["image"])

    assert image() == "headwater:0.1.0"
    assert image(image__registry="r.example", image__tag="1") == "r.example/headwater:1"
    digest = "sha256:" + "0" * 64
    assert image(image__digest=digest, image__tag="1") == f"headwater@{digest}"
    assert image(image__registry="r.example", global__imageRegistry="g.example") == (
        "g.example/headwater:0.1.0"
    )


def test_extra_objects_are_templates() -> None:
    rendered = render(
        sets={
            "extraObjects": [
                {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {"name": "a-{{ .Release.Name }}"},
                },
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: 'b-{{ .Release.Name }}'}",
            ]
        }
    )
    names = [each["metadata"]["name"] for each in rendered.of_kind("ConfigMap")]
    assert {"a-rel", "b-rel"} <= set(names)
