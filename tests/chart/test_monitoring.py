"""Alerts and the dashboard: the metrics that they name exist, and alerts fire when they should."""

import json
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.chart.chart import CHART, PRODUCT, ROOT, TOOLS, Object, render

ALL_ALERTS = {
    "metrics.prometheusRule.enabled": True,
    "metrics.prometheusRule.egressMbitPerPod": 5000,
    "edge.autoscaling.enabled": True,
}
NOT_OURS = {
    "kube_horizontalpodautoscaler_status_current_replicas",  # of kube-state-metrics
    "kube_horizontalpodautoscaler_spec_min_replicas",
    "kube_horizontalpodautoscaler_spec_max_replicas",
    "kube_horizontalpodautoscaler_status_target_metric",
    "kube_horizontalpodautoscaler_spec_target_metric",
}
_SAMPLES = """
from common.metrics import REGISTRY, NodeMetrics
node = NodeMetrics(node="n", role="edge", workers={"ready": 1})
node.restarts["crashed"] += 1
for source in (REGISTRY, node):
    for metric in source.collect():
        suffixes = {
            "counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]
        }.get(metric.type, [""])
        print(*(metric.name + suffix for suffix in suffixes))
"""


@cache
def metric_names() -> frozenset[str]:
    """Return the names of all samples that Headwater can give."""
    done = subprocess.run(
        [str(PRODUCT), "-c", _SAMPLES], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return frozenset(done.stdout.split())


def named_in(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:headwater|kube)_[a-z_]+\b", expression))


def alerts() -> list[Object]:
    (rule,) = render(sets=ALL_ALERTS).of_kind("PrometheusRule")
    (group,) = rule["spec"]["groups"]
    return list(group["rules"])


def dashboard() -> Object:
    loaded: Object = json.loads((CHART / "dashboards" / "headwater.json").read_text())
    return loaded


def test_every_alert_names_metrics_that_exist() -> None:
    for alert in alerts():
        names = named_in(alert["expr"])
        assert names, alert["alert"]
        assert names <= metric_names() | NOT_OURS, alert["alert"]
        assert not re.search(r"\b(ORIGINS|EDGES|NODES|HPAS|EGRESS_LIMIT)\b", alert["expr"])


def test_every_alert_says_what_to_do_and_that_is_written() -> None:
    page = (ROOT / "docs" / "alerts.md").read_text()
    sections = re.findall(r"^## (\w+)$", page, re.MULTILINE)
    assert [alert["alert"] for alert in alerts()] == sections
    for alert in alerts():
        assert alert["annotations"]["runbook_url"].endswith(f"#{alert['alert'].lower()}")
        assert alert["labels"]["severity"] in ("warning", "critical")


def test_alerts_that_make_no_sense_are_left_out() -> None:
    plain = render(sets={"metrics.prometheusRule.enabled": True, "origin.enabled": False})
    names = {
        alert["alert"]
        for rule in plain.of_kind("PrometheusRule")
        for alert in rule["spec"]["groups"][0]["rules"]
    }
    assert {alert["alert"] for alert in alerts()} - names == {
        "HeadwaterNoOriginReady",
        "HeadwaterEgressHigh",
        "HeadwaterAutoscalerAtMaximum",
    }


def test_manifests_have_the_alert_about_the_autoscaler_that_an_overlay_may_add() -> None:
    text = (ROOT / "k8s" / "components" / "monitoring" / "monitoring.yaml").read_text()
    assert "alert: HeadwaterAutoscalerAtMaximum\n" in text


@pytest.mark.parametrize(
    ("alert", "room"), [("HeadwaterConnectionsRefused", "net"), ("HeadwaterRelaysLost", "relay")]
)
def test_reasons_that_are_explained_exist(alert: str, room: str) -> None:
    page = (ROOT / "docs" / "alerts.md").read_text()
    section = page.partition(f"## {alert}\n")[2].partition("\n## ")[0]
    reasons = re.findall(r"`([a-z_]+)`", section)
    source = "".join(file.read_text() for file in (ROOT / "common" / room).glob("*.py"))
    assert len(reasons) >= 3
    assert [each for each in reasons if f'"{each}"' not in source] == []


def promtool() -> str:
    """Return promtool, or skip: it comes with Debian's package prometheus, or a release of it."""
    places = f"{TOOLS}{os.pathsep}{os.environ['PATH']}"
    return shutil.which("promtool", path=places) or pytest.skip(
        "no promtool on the PATH or in .venv-chart/bin (.ci/run puts it there)"
    )


def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    (rule,) = render(sets=ALL_ALERTS).of_kind("PrometheusRule")
    (tmp_path / "alerts.rules.yaml").write_text(yaml.safe_dump({"groups": rule["spec"]["groups"]}))
    tests = Path(__file__).parent / "alerts.test.yaml"
    shutil.copy(tests, tmp_path)
    for command in (["check", "rules", "alerts.rules.yaml"], ["test", "rules", tests.name]):
        done = subprocess.run(
            [promtool(), *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test_in_which_it_fires() -> None:
    tested = yaml.safe_load((Path(__file__).parent / "alerts.test.yaml").read_text())
    fires = {
        case["alertname"]
        for test in tested["tests"]
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert {alert["alert"] for alert in alerts()} == fires


def test_the_dashboard_names_metrics_that_exist_and_most_of_them() -> None:
    expressions = [
        target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", [])
    ]
    named = set().union(*map(named_in, expressions))
    assert named <= metric_names()
    families = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in metric_names()}
    shown = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in named}
    assert families - shown <= {"headwater_relay_round_trip_seconds"}  # publish_to_edge is half


def test_the_expressions_of_the_dashboard_are_promql(tmp_path: Path) -> None:
    variables = {"$instance": ".*", "$__rate_interval": "1m"}
    rules = []
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"]
            for name, value in variables.items():
                expression = expression.replace(name, value)
            rules.append({"record": f"panel:{panel['id']}:{target['refId']}", "expr": expression})
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(
        [promtool(), "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_asks_the_chosen_prometheus_and_its_panels_are_told_apart() -> None:
    board = dashboard()
    assert board["uid"] == "headwater"
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert {panel["datasource"]["uid"] for panel in panels} == {"${datasource}"}
    assert {variable["name"] for variable in board["templating"]["list"]} == {
        *("datasource", "role", "zone", "instance")
    }


def test_the_dashboard_comes_as_it_is_in_a_config_map() -> None:
    rendered = render(sets={"metrics.dashboards.enabled": True})
    config_map = rendered.one("ConfigMap", "-dashboard")
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(config_map["data"]["headwater.json"]) == dashboard()


@pytest.mark.parametrize("engine", ["hpa", "keda"])
def test_autoscalers_name_metrics_that_exist(engine: str) -> None:
    sets = {
        f"{role}.autoscaling.{name}": value
        for role in ("origin", "edge")
        for name, value in {
            "enabled": True,
            "engine": engine,
            "egressMbitPerPod": 100,
            "keda.serverAddress": "http://prometheus",
        }.items()
    }
    scalers = render(sets=sets).of_kind("HorizontalPodAutoscaler", "ScaledObject")
    assert len(scalers) == 2
    # Made by a rule of the metrics adapter in docs/kubernetes.md, from headwater_bytes_out_total.
    made = {"headwater_egress_bytes_per_second"}
    for scaler in scalers:
        text = json.dumps(scaler["spec"]["metrics" if engine == "hpa" else "triggers"])
        assert named_in(text) <= metric_names() | made
