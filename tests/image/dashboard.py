"""What Grafana would make of its files: a data source, a dashboard, the queries of its panels."""

import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import yaml

from tests.image.compose import LEFT_OUT, Compose, Object, ask_prometheus

_PROVISIONING: Final = PurePosixPath("/etc/grafana/provisioning")
_SCRAPES_OF_A_RATE: Final = 4
"""$__rate_interval is at least so many times the interval of the data source [Grafana's manual]."""


@dataclass(frozen=True, slots=True)
class Query:
    """What a panel asks Prometheus."""

    expression: str

    @property
    def metric(self) -> str:
        """The series that it is about."""
        names: list[str] = re.findall(r"headwater_\w+", self.expression)
        return names[0]  # others are joined to it

    def has_data(self) -> bool:
        """Ask it. Raises `urllib.error.HTTPError` when Prometheus does not accept it."""
        found = ask_prometheus("query", query=self.expression)["result"]
        return any(each["value"][1] != "NaN" for each in found)


class Files:
    """The files in Grafana's container, from where the compose file mounts them."""

    def __init__(self, compose: Compose) -> None:
        told = compose.run("--profile=registry", "config", "--format=json")
        volumes = json.loads(told)["services"][LEFT_OUT]["volumes"]
        self._mounts = {PurePosixPath(each["target"]): Path(each["source"]) for each in volumes}

    def at(self, path: PurePosixPath) -> Path:
        """Return the file or folder that is mounted at ``path``."""
        (mount,) = [each for each in self._mounts if path.is_relative_to(each)]
        return self._mounts[mount] / path.relative_to(mount)

    def provisioned(self, kind: str) -> Object:
        """Return the one thing of a kind that is to be made at the start."""
        (file,) = self.at(_PROVISIONING / kind).glob("*.yaml")
        loaded = yaml.safe_load(file.read_text())
        assert loaded["apiVersion"] == 1
        (found,) = loaded["providers" if kind == "dashboards" else kind]
        return dict(found)

    def dashboard(self) -> Object:
        """Return the one dashboard."""
        folder = self.at(PurePosixPath(self.provisioned("dashboards")["options"]["path"]))
        (file,) = folder.glob("*.json")
        return dict(json.loads(file.read_text()))


def queries(dashboard: Object, source: Object) -> list[Query]:
    """Return all queries with "All" chosen everywhere, as the dashboard opens."""
    scrape_s = int(source["jsonData"]["timeInterval"].removesuffix("s"))
    chosen = {"__rate_interval": f"{_SCRAPES_OF_A_RATE * scrape_s}s"}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            chosen[variable["name"]] = _all_of(variable, chosen)
    return [
        Query(_fill_in(target["expr"], chosen))
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
    ]


def _all_of(variable: Object, chosen: dict[str, str]) -> str:
    """Return what stands for "All": the values that Prometheus has, unless the dashboard says."""
    asked = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"])
    assert asked, variable
    series, label = asked.groups()
    values = ask_prometheus(f"label/{label}/values", **{"match[]": _fill_in(series, chosen)})
    if "allValue" in variable:
        return str(variable["allValue"])
    assert values, f"no {variable['name']} to choose"
    return "(" + "|".join(re.escape(each).replace("\\", "\\\\") for each in values) + ")"


def _fill_in(text: str, chosen: dict[str, str]) -> str:
    return re.sub(r"\$(\w+)", lambda found: chosen[found[1]], text)
