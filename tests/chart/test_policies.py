"""Disruption budgets, autoscalers and network policies: they are about the pods that they mean."""

from pathlib import Path

import pytest

from tests.chart.chart import CI_VALUES, ROLES, WORKLOADS, Object, Rendered, render, selects

every_values = pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)


def pods_of(rendered: Rendered, selector: Object) -> list[str]:
    return [owner for owner, pod in rendered.pods() if selects(selector, pod["metadata"]["labels"])]


@every_values
def test_every_budget_is_about_one_workload(values: Path) -> None:
    rendered = render(values)
    for budget in rendered.of_kind("PodDisruptionBudget"):
        assert len(pods_of(rendered, budget["spec"]["selector"]["matchLabels"])) == 1
        assert budget["spec"]["maxUnavailable"] == 1
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@pytest.mark.parametrize("role", ROLES)
def test_a_single_pod_has_no_budget_that_would_block_its_node(role: str) -> None:
    assert len(render().of_kind("PodDisruptionBudget")) == 2
    assert len(render(sets={f"{role}.replicas": 1}).of_kind("PodDisruptionBudget")) == 1
    scaled = {f"{role}.autoscaling.enabled": True, f"{role}.autoscaling.minReplicas": 1}
    assert len(render(sets=scaled).of_kind("PodDisruptionBudget")) == 1


@every_values
def test_autoscalers_scale_workloads_that_exist(values: Path) -> None:
    rendered = render(values)
    workloads = {(each["kind"], each["metadata"]["name"]) for each in rendered.of_kind(*WORKLOADS)}
    for scaler in rendered.of_kind("HorizontalPodAutoscaler", "ScaledObject"):
        target = scaler["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) in workloads


def test_edges_are_scaled_down_late_and_one_by_one() -> None:
    rendered = render(sets={"edge.autoscaling.enabled": True})
    down = rendered.one("HorizontalPodAutoscaler", "-edge")["spec"]["behavior"]["scaleDown"]
    assert down["stabilizationWindowSeconds"] >= 300
    assert down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 300}]


def test_origins_are_not_scaled_down_unless_one_asks_for_it() -> None:
    rendered = render(sets={"origin.autoscaling.enabled": True})
    down = rendered.one("HorizontalPodAutoscaler", "-origin")["spec"]["behavior"]["scaleDown"]
    assert down["selectPolicy"] == "Disabled"


def test_hpa_metrics_are_those_asked_for() -> None:
    rendered = render(
        sets={
            "edge.autoscaling.enabled": True,
            "edge.autoscaling.egressMbitPerPod": 2000,
            "edge.autoscaling.cpuUtilization": 70,
        }
    )
    viewers, egress, cpu = rendered.one("HorizontalPodAutoscaler", "-edge")["spec"]["metrics"]
    assert viewers["pods"]["metric"] == {
        "name": "headwater_viewers",
        "selector": {"matchLabels": {"kind": "player"}},
    }
    assert viewers["pods"]["target"]["averageValue"] == "4000"
    assert egress["pods"]["target"]["averageValue"] == "250000000"  # bytes per second
    assert cpu["resource"]["target"]["averageUtilization"] == 70


@pytest.mark.parametrize("role", ROLES)
def test_keda_keeps_the_pods_there_are_without_figures_and_never_reads_nothing_as_none(
    role: str,
) -> None:
    sets = {
        f"{role}.autoscaling.enabled": True,
        f"{role}.autoscaling.engine": "keda",
        f"{role}.autoscaling.keda.serverAddress": "http://prometheus",
    }
    spec = render(sets=sets).one("ScaledObject", f"-{role}")["spec"]
    assert spec["fallback"]["behavior"] == "currentReplicasIfHigher"
    assert spec["fallback"]["replicas"] == spec["minReplicaCount"]
    sets[f"{role}.autoscaling.keda.fallbackReplicas"] = 5
    given = render(sets=sets).one("ScaledObject", f"-{role}")["spec"]
    assert given["fallback"]["replicas"] == 5
    assert [each["metadata"]["ignoreNullValues"] for each in spec["triggers"]] == ["false"]


@every_values
def test_policies_let_in_every_port_and_no_other(values: Path) -> None:
    rendered = render(values)
    for policy in rendered.of_kind("NetworkPolicy"):
        selector = policy["spec"]["podSelector"]["matchLabels"]
        opened = {
            number
            for rule in policy["spec"]["ingress"]
            for port in rule["ports"]
            for number in range(port["port"], port.get("endPort", port["port"]) + 1)
        }
        (owner,) = pods_of(rendered, selector)
        declared = {
            port["containerPort"]
            for name, container in rendered.containers()
            if name.startswith(f"{owner}/")
            for port in container.get("ports", [])
        }
        assert declared <= opened, owner
        relays = {each for each in opened if each >= 19350}
        # After reloads a worker's relays are on one of three further ports.
        assert opened - declared <= relays


def test_policies_let_edges_pull_from_origins_and_both_ask_redis_and_dns() -> None:
    rendered = render(sets={"redis.url": "", "valkey.enabled": True})
    relays = rendered.one("NetworkPolicy", "-origin")["spec"]["ingress"][2]
    assert [_component(peer) for peer in relays["from"]] == ["edge", "origin"]
    for role in ROLES:
        policy = rendered.one("NetworkPolicy", f"-{role}")["spec"]
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        dns, redis, pull = policy["egress"]
        assert [(port["port"], port["protocol"]) for port in dns["ports"]] == [
            (53, "UDP"),
            (53, "TCP"),
        ]
        assert [_component(peer) for peer in redis["to"]] == ["valkey"]
        assert [_component(peer) for peer in pull["to"]] == ["origin"]
        assert pull["ports"] == relays["ports"]
    valkey = rendered.one("NetworkPolicy", "-valkey")["spec"]
    assert [_component(peer) for peer in valkey["ingress"][0]["from"]] == ["origin", "edge"]
    assert "egress" not in valkey


def test_policies_let_edges_of_a_zone_relay_from_each_other_only_where_they_share_pulls() -> None:
    sets = {"edge.zoneRelay": True, "edge.ports.relay": 20_000, "origin.ports.relay": 19_350}
    policy = render(sets=sets).one("NetworkPolicy", "-edge")["spec"]
    from_edges, to_edges = policy["ingress"][2], policy["egress"][3]
    assert [_component(peer) for peer in from_edges["from"]] == ["edge"]
    assert [_component(peer) for peer in to_edges["to"]] == ["edge"]
    ports = [{"port": 20_000, "endPort": 20_007, "protocol": "TCP"}]
    assert from_edges["ports"] == to_edges["ports"] == ports
    off = render().one("NetworkPolicy", "-edge")["spec"]
    assert (len(off["ingress"]), len(off["egress"])) == (2, 3)


@pytest.mark.parametrize(
    ("sets", "ports"),
    [
        ({}, [6379]),
        ({"redis.url": "rediss://redis.example:6380/0"}, [6380]),
        ({"redis.url": "redis://user@[2001:db8::7]:7000"}, [7000]),
        ({"redis.url": "redis://[2001:db8::7]"}, [6379]),
        ({"redis.mode": "cluster", "networkPolicy.redis.ports": [7001, 6379]}, [6379, 7001]),
        ({"redis.url": "", "redis.urlSecret.name": "x"}, [6379]),
        (
            {"redis.url": "", "redis.urlSecret.name": "x", "networkPolicy.redis.ports": [6380]},
            [6380],
        ),
        (
            {
                "redis.url": "",
                "redis.mode": "sentinel",
                "redis.sentinel.addresses": ["a.example:5000", "b.example:5001"],
            },
            [6379, 5000, 5001],
        ),
    ],
)
def test_policies_let_nodes_out_to_the_ports_of_their_redis(
    sets: dict[str, object], ports: list[int]
) -> None:
    for role in ROLES:
        _, redis, _ = render(sets=sets).one("NetworkPolicy", f"-{role}")["spec"]["egress"]
        assert [each["port"] for each in redis["ports"]] == ports


def test_name_servers_may_be_on_another_port() -> None:
    rendered = render(sets={"networkPolicy.dnsPorts": [53, 5353]})
    for role in ROLES:
        dns, *_ = rendered.one("NetworkPolicy", f"-{role}")["spec"]["egress"]
        assert [(each["port"], each["protocol"]) for each in dns["ports"]] == [
            (53, "UDP"),
            (53, "TCP"),
            (5353, "UDP"),
            (5353, "TCP"),
        ]


def test_a_policy_that_names_publishers_leaves_the_test_its_way() -> None:
    peers = [{"ipBlock": {"cidr": "203.0.113.0/24"}}]
    rendered = render(sets={"networkPolicy.publishersFrom": peers})
    rule = rendered.one("NetworkPolicy", "-origin")["spec"]["ingress"][0]
    assert rule["from"][0] == peers[0]
    assert _component(rule["from"][1]) == "test"


@pytest.mark.parametrize(("role", "who"), [("origin", "publishersFrom"), ("edge", "viewersFrom")])
def test_a_policy_that_names_clients_lets_in_the_load_balancer_that_speaks_for_them(
    role: str, who: str
) -> None:
    sets = {
        f"networkPolicy.{who}": [{"ipBlock": {"cidr": "203.0.113.0/24"}}],
        f"{role}.proxyProtocol.trustedCidrs": ["10.20.0.0/20", "10.9.0.7", "2001:db8::7"],
    }
    without = render(sets=sets).one("NetworkPolicy", f"-{role}")["spec"]["ingress"][0]
    assert _networks(without) == ["203.0.113.0/24"]
    proxied = render(sets={**sets, f"{role}.proxyProtocol.enabled": True})
    rule = proxied.one("NetworkPolicy", f"-{role}")["spec"]["ingress"][0]
    assert _networks(rule) == ["203.0.113.0/24", "10.20.0.0/20", "10.9.0.7/32", "2001:db8::7/128"]
    anybody = {**sets, f"{role}.proxyProtocol.enabled": True, f"networkPolicy.{who}": []}
    assert "from" not in render(sets=anybody).one("NetworkPolicy", f"-{role}")["spec"]["ingress"][0]


def _networks(rule: Object) -> list[str]:
    return [peer["ipBlock"]["cidr"] for peer in rule["from"] if "ipBlock" in peer]


def _component(peer: Object) -> str:
    return str(peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"])
