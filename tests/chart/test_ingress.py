"""Readiness over HTTP: what Ingress and HTTPRoute show of a role, to whom, and nothing besides."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chart.chart import CHART, CI_VALUES, ROLES, Object, Rendered, container_of, render

every_values = pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)

READINESS = CHART / "ci" / "readiness-values.yaml"
WORKLOAD = {"origin": "StatefulSet", "edge": "Deployment"}
INGRESS = {"edge.ingress.enabled": True, "edge.ingress.hosts": ["eu.play.example"]}
HTTP_ROUTE = {
    "edge.httpRoute.enabled": True,
    "edge.httpRoute.parentRefs": [{"name": "public"}],
    "edge.httpRoute.hostnames": ["eu.play.example"],
}
MONITORING = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
BALANCER = {"ipBlock": {"cidr": "10.20.0.0/20"}}
ANY_POD: Object = {"namespaceSelector": {}}


def shown(rendered: Rendered) -> Iterator[tuple[str, str, str, object]]:
    """Yield type and value of each path that is shown, and the Service and port behind it."""
    for ingress in rendered.of_kind("Ingress"):
        assert "defaultBackend" not in ingress["spec"]
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                yield path["pathType"], path["path"], service["name"], service["port"]["name"]
    for route in rendered.of_kind("HTTPRoute"):
        for rule in route["spec"]["rules"]:
            assert "filters" not in rule
            for match in rule["matches"]:
                (backend,) = rule["backendRefs"]
                path = match["path"]
                yield path["type"], path["value"], backend["name"], backend["port"]


def admin_peers(rendered: Rendered, role: str) -> list[Object]:
    rules = rendered.one("NetworkPolicy", f"-{role}")["spec"]["ingress"]
    admin = container_of(rendered.one(WORKLOAD[role], f"-{role}"), role)["ports"]
    (number,) = [port["containerPort"] for port in admin if port["name"] == "admin"]
    (rule,) = [each for each in rules if each["ports"][0]["port"] == number]
    return list(rule["from"])


@every_values
def test_nothing_is_shown_but_what_the_readiness_probe_asks(values: Path) -> None:
    rendered = render(values)
    for kind, path, name, port in shown(rendered):
        assert kind == "Exact"
        role = name.removesuffix("-http").rpartition("-")[2]
        probe = container_of(rendered.one(WORKLOAD[role], f"-{role}"), role)["readinessProbe"]
        assert path == probe["httpGet"]["path"]
        (backend,) = rendered.one("Service", name)["spec"]["ports"]
        assert port in (backend["name"], backend["port"])
        assert backend["targetPort"] == probe["httpGet"]["port"]


@every_values
def test_pods_that_are_not_ready_are_not_asked(values: Path) -> None:
    rendered = render(values)
    for _, _, name, _ in shown(rendered):
        spec = rendered.one("Service", name)["spec"]
        assert spec["type"] == "ClusterIP"
        assert "clusterIP" not in spec
        assert not spec.get("publishNotReadyAddresses", False)


def test_each_role_shows_its_own_pods_on_its_own_hosts() -> None:
    rendered = render(READINESS)
    assert len(list(shown(rendered))) == 4
    for role in ROLES:
        service = rendered.one("Service", f"-{role}-http")
        assert service["spec"]["selector"]["app.kubernetes.io/component"] == role
    edge = rendered.one("Ingress", "-edge")["spec"]
    assert edge["ingressClassName"] == "public"
    assert [rule["host"] for rule in edge["rules"]] == ["eu.play.example", "*.eu.play.example"]
    origin = rendered.one("HTTPRoute", "-origin")
    assert origin["spec"]["hostnames"] == ["eu-ingest.example"]
    assert origin["metadata"]["annotations"] == {"example.org/release": "rel"}


def test_a_certificate_is_for_all_hosts_unless_it_names_some() -> None:
    tls = [{"secretName": "all"}, {"secretName": "one", "hosts": ["b.example"]}, {}]
    hosts = ["a.example", "b.example"]
    sets = {**INGRESS, "edge.ingress.hosts": hosts, "edge.ingress.tls": tls}
    assert render(sets=sets).one("Ingress", "-edge")["spec"]["tls"] == [
        {"hosts": hosts, "secretName": "all"},
        {"hosts": ["b.example"], "secretName": "one"},
        {"hosts": hosts},
    ]


def test_nothing_is_shown_unless_one_asks_for_it() -> None:
    rendered = render()
    assert list(shown(rendered)) == []
    assert not [
        each for each in rendered.of_kind("Service") if each["metadata"]["name"].endswith("-http")
    ]


@pytest.mark.parametrize("sets", [INGRESS, HTTP_ROUTE], ids=["ingress", "httpRoute"])
def test_only_roles_that_show_readiness_let_the_balancer_in(sets: dict[str, object]) -> None:
    peers = {"networkPolicy.adminFrom": [MONITORING], "networkPolicy.httpFrom": [BALANCER]}
    rendered = render(sets={**sets, **peers})
    assert admin_peers(rendered, "edge") == [MONITORING, BALANCER]
    assert admin_peers(rendered, "origin") == [MONITORING]


def test_a_balancer_that_is_no_pod_is_let_in_beside_all_pods() -> None:
    rendered = render(sets={**INGRESS, "networkPolicy.httpFrom": [BALANCER]})
    assert admin_peers(rendered, "edge") == [ANY_POD, BALANCER]
    assert admin_peers(rendered, "origin") == [ANY_POD]


def test_one_host_may_be_shown_by_both_ways() -> None:
    assert len(list(shown(render(sets={**INGRESS, **HTTP_ROUTE})))) == 2
