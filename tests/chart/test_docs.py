"""What is written about the chart is true."""

import re
import subprocess
import sys
from functools import reduce

import yaml

from tests.chart.chart import CHART, ROOT, Object, render


def test_the_readme_is_current() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "helm" / "readme.py"), "--check"], check=False
    )
    assert done.returncode == 0


def test_every_value_says_what_it_is_for() -> None:
    rows = [
        line.split("|")[1:4]
        for line in (CHART / "README.md").read_text().splitlines()
        if line.startswith("| `")
    ]
    assert len(rows) > 150
    assert [name for name, _, meaning in rows if not meaning.strip()] == []


def test_the_chart_is_of_this_headwater_and_under_its_licence() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = (ROOT / "pyproject.toml").read_text()
    assert f'\nversion = "{chart["appVersion"]}"\n' in project
    assert f"## {chart['version']}\n" in (CHART / "CHANGELOG.md").read_text()
    assert (CHART / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert chart["annotations"]["artifacthub.io/license"] == "Apache-2.0"


def test_the_images_that_are_announced_are_those_of_the_values() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    announced = [
        each["image"] for each in yaml.safe_load(chart["annotations"]["artifacthub.io/images"])
    ]
    valkey = values["valkey"]["image"]
    assert announced == [
        f"{values['image']['repository']}:{chart['appVersion']}",
        f"{valkey['registry']}/{valkey['repository']}:{valkey['tag']}",
    ]


def test_values_that_documents_name_exist() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for page in ("docs/kubernetes.md", "docs/alerts.md", "helm/headwater/README.md"):
        text = (ROOT / page).read_text()
        for line in text.splitlines():
            for word in line.split("`")[1::2]:
                parts = word.partition("=")[0].split(".")
                if len(parts) > 1 and parts[0] in values and parts[0] not in ("redis", "log"):
                    reduce(lambda tree, part: tree[part], parts[:-1], values)


def examples() -> list[Object]:
    """Return the values that docs/kubernetes.md shows; its other YAML is for other programs."""
    known = yaml.safe_load((CHART / "values.yaml").read_text()).keys()
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    blocks = map(
        yaml.safe_load, re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    )
    return [block for block in blocks if block.keys() <= known]


def test_examples_of_values_render() -> None:
    assert len(examples()) >= 2
    for example in examples():
        assert render(sets={"redis.url": "redis://redis.example:6379/0", **example}).objects


def test_the_load_balancer_of_the_example_may_ask_the_port_of_its_health_checks() -> None:
    (aws,) = [example for example in examples() if "origin" in example]
    policy = render(sets=aws).one("NetworkPolicy", "-origin")["spec"]
    health = aws["origin"]["service"]["annotations"][
        "service.beta.kubernetes.io/aws-load-balancer-healthcheck-port"
    ]
    (rule,) = [each for each in policy["ingress"] if each["ports"][0]["port"] == int(health)]
    admitted = {peer["ipBlock"]["cidr"] for peer in rule["from"] if "ipBlock" in peer}
    assert admitted == set(aws["origin"]["proxyProtocol"]["trustedCidrs"])


def test_the_example_of_an_address_of_cluster_mode_is_in_cluster_mode() -> None:
    (redis,) = [example["redis"] for example in examples() if "redis" in example]
    assert "//clustercfg." in redis["url"]
    assert redis["mode"] == "cluster"
