"""What stands in docker/ fits the rest: locks, settings, ports and the dashboard."""

import os
import re
import subprocess
from ipaddress import IPv4Network, ip_address
from pathlib import Path

import pytest
import yaml

from tests.chart.chart import CHART, PRODUCT, ROOT, Object

DOCKER = ROOT / "docker"


def pins(file: Path) -> set[str]:
    return set(re.findall(r"^[a-z0-9._-]+==[^ ;]+", file.read_text(), re.MULTILINE))


def compose() -> Object:
    loaded: Object = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    return loaded


@pytest.mark.parametrize("lock", ["build.lock", "requirements.lock"])
def test_the_image_has_the_versions_that_are_tested(lock: str) -> None:
    assert pins(DOCKER / lock) <= pins(ROOT / "requirements.lock")
    text = (DOCKER / lock).read_text()
    assert text.count("--hash=sha256:") >= len(pins(DOCKER / lock))


def test_the_image_is_of_this_version() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    (version,) = re.findall(r'^version = "(.*)"$', project, re.MULTILINE)
    assert f"ARG VERSION={version}\n" in (DOCKER / "Dockerfile").read_text()
    images = {name: each["image"] for name, each in compose()["services"].items()}
    own = {name for name, image in images.items() if image == f"headwater:{version}"}
    assert own == {"origin-1", "origin-2", "edge-1", "edge-2", "probe"}


def test_the_image_is_built_once_and_taken_from_no_registry() -> None:
    services = compose()["services"].values()
    own = [each for each in services if each["image"].startswith("headwater:")]
    assert len([each for each in own if "build" in each]) == 1
    assert all("build" in each or each["pull_policy"] == "never" for each in own)


def test_the_image_runs_as_the_user_of_the_chart() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    user = values["origin"]["podSecurityContext"]["runAsUser"]
    assert f"\nUSER {user}:{user}\n" in (DOCKER / "Dockerfile").read_text()


def test_only_what_the_image_needs_is_sent_to_the_builder() -> None:
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (DOCKER / "Dockerfile").read_text(), re.M)
    needed = {word.replace("[s]", "s") for line in copied for word in line.split()}
    sent = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"
    }
    assert sent == needed
    assert all((ROOT / each).exists() for each in sent - {"docker/wheels"})


@pytest.mark.parametrize("name", ["origin-1", "origin-2", "edge-1", "edge-2"])
def test_headwater_accepts_the_settings_of_the_compose_file(name: str) -> None:
    service = compose()["services"][name]
    done = subprocess.run(
        [str(PRODUCT), "-m", "common.cli", "config"],
        env={"PATH": os.environ["PATH"], **service["environment"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    settings = yaml.safe_load(done.stdout)
    balancer = compose()["services"]["balancer"]["networks"]["cluster"]["ipv4_address"]
    assert settings["rtmp"]["proxy_trusted"] == [balancer]
    grace = int(service["stop_grace_period"].removesuffix("s"))
    assert grace >= settings["supervisor"]["drain_s"] + 10
    assert service["command"] == [name.partition("-")[0]]


def test_nobody_else_can_be_given_the_address_of_the_balancer() -> None:
    (pool,) = compose()["networks"]["cluster"]["ipam"]["config"]
    fixed = ip_address(compose()["services"]["balancer"]["networks"]["cluster"]["ipv4_address"])
    assert fixed in IPv4Network(pool["subnet"])
    assert fixed not in IPv4Network(pool["ip_range"])
    assert IPv4Network(pool["ip_range"]).subnet_of(IPv4Network(pool["subnet"]))


def test_the_balancer_and_prometheus_know_all_nodes() -> None:
    nodes = {name for name, each in compose()["services"].items() if "stop_grace_period" in each}
    balancer = (DOCKER / "haproxy.cfg").read_text()
    assert set(re.findall(r"server \S+ (\S+):1935", balancer)) == nodes
    prometheus = yaml.safe_load((DOCKER / "prometheus.yml").read_text())
    (job,) = prometheus["scrape_configs"]
    assert {each.removesuffix(":8080") for each in job["static_configs"][0]["targets"]} == nodes


def test_grafana_knows_how_often_prometheus_asks() -> None:
    (source,) = yaml.safe_load(
        (DOCKER / "grafana/provisioning/datasources/prometheus.yaml").read_text()
    )["datasources"]
    prometheus = yaml.safe_load((DOCKER / "prometheus.yml").read_text())
    assert source["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]


def test_the_dashboard_is_that_of_the_chart() -> None:
    mounts = compose()["services"]["grafana"]["volumes"]
    assert f"../{(CHART / 'dashboards').relative_to(ROOT)}:/dashboards:ro" in mounts


def test_nothing_here_hides_a_python_package() -> None:
    for folder in ("docker", "helm", "k8s"):
        assert not list((ROOT / folder).rglob("__init__.py"))
