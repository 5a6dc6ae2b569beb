"""Services and routes: every name and port that one object says of another exists."""

from pathlib import Path

import pytest

from tests.chart.chart import CI_VALUES, Object, Rendered, render, selects

every_values = pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)


def selected_pods(rendered: Rendered, selector: Object) -> list[Object]:
    return [pod for _, pod in rendered.pods() if selects(selector, pod["metadata"]["labels"])]


@every_values
def test_services_select_pods_that_have_the_named_ports(values: Path) -> None:
    rendered = render(values)
    for service in rendered.of_kind("Service"):
        (pod,) = selected_pods(rendered, service["spec"]["selector"])
        names = {
            port["name"] for each in pod["spec"]["containers"] for port in each.get("ports", [])
        }
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in names, service["metadata"]["name"]
            assert len(port["name"]) <= 15
            assert "appProtocol" in port


@every_values
def test_service_ports_are_unique(values: Path) -> None:
    for service in render(values).of_kind("Service"):
        for key in ("name", "port"):
            keys = [port[key] for port in service["spec"]["ports"]]
            assert len(keys) == len(set(keys)), service["metadata"]["name"]


@every_values
def test_monitors_select_one_service_or_pod_and_its_admin_port(values: Path) -> None:
    rendered = render(values)
    for monitor in rendered.of_kind("ServiceMonitor"):
        (service,) = [
            each
            for each in rendered.of_kind("Service")
            if selects(monitor["spec"]["selector"]["matchLabels"], each["metadata"]["labels"])
        ]
        assert [port["name"] for port in service["spec"]["ports"]] == ["admin"]
        assert service["spec"]["publishNotReadyAddresses"] is True
    for monitor in rendered.of_kind("PodMonitor"):
        assert len(selected_pods(rendered, monitor["spec"]["selector"]["matchLabels"])) == 1


@every_values
def test_routes_lead_to_services(values: Path) -> None:
    rendered = render(values)
    for route in rendered.of_kind("TCPRoute", "HTTPRoute"):
        (backend,) = route["spec"]["rules"][0]["backendRefs"]
        service = rendered.one("Service", backend["name"])
        assert backend["port"] in [port["port"] for port in service["spec"]["ports"]]


@pytest.mark.parametrize(
    ("kubernetes", "distribution"),
    [("1.30", None), ("1.31", "PreferClose"), ("1.33", "PreferClose"), ("1.34", "PreferSameZone")],
)
def test_players_inside_the_cluster_get_an_edge_of_their_zone(
    kubernetes: str, distribution: str | None
) -> None:
    service = render(kubernetes=kubernetes).one("Service", "headwater-edge")
    assert service["spec"].get("trafficDistribution") == distribution


@pytest.mark.parametrize(
    ("kind", "has"), [("ClusterIP", False), ("NodePort", True), ("LoadBalancer", True)]
)
def test_external_traffic_policy_only_where_there_is_external_traffic(kind: str, has: bool) -> None:
    service = render(sets={"edge.service.type": kind}).one("Service", "headwater-edge")
    assert ("externalTrafficPolicy" in service["spec"]) is has
    assert ("allocateLoadBalancerNodePorts" in service["spec"]) is (kind == "LoadBalancer")


@every_values
def test_the_test_publishes_to_and_plays_from_services_that_exist(values: Path) -> None:
    rendered = render(values)
    for pod in rendered.of_kind("Pod"):
        command, *urls = pod["spec"]["containers"][0]["args"]
        assert command == "probe"
        for url in urls:
            host, _, port = url.removeprefix("rtmp://").partition("/")[0].partition(":")
            service = rendered.one("Service", host.split(".")[0])
            assert host.split(".")[1] == service["metadata"]["namespace"]
            assert int(port) in [each["port"] for each in service["spec"]["ports"]]
