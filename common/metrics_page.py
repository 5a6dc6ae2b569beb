"""Writes docs/metrics.md from what is defined: ``python -m common.metrics_page``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric

from common import metrics

PAGE: Final = Path(__file__).parents[1] / "docs" / "metrics.md"

_HEAD: Final = """\
# Metrics

<!-- Generated from common/metrics.py by `python -m common.metrics_page`. -->

`/metrics` of a node's admin port, in the Prometheus text format: its workers added up. What alerts
make of them: [alerts.md](alerts.md). A histogram is `_bucket`, `_sum` and `_count` of its name.

| Metric | Type | Labels | Meaning |
|---|---|---|---|
"""


def page() -> str:
    """Return the page."""
    return _HEAD + "".join(_row(*each) for each in [*_of_the_node(), *_of_workers()])


def _of_the_node() -> Iterator[tuple[Metric, tuple[str, ...]]]:
    # Labels show in samples only, so there must be one of each.
    node = metrics.NodeMetrics(node="", role="", workers={"": 0})
    node.restarts[""] = 0
    for family in node.collect():
        yield family, tuple(family.samples[0].labels)


def _of_workers() -> Iterator[tuple[Metric, tuple[str, ...]]]:
    for defined in vars(metrics).values():
        metric = defined.counter if isinstance(defined, metrics.ReasonCounter) else defined
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            yield family, tuple(metric._labelnames)  # the library has no other way to ask


def _row(family: Metric, labels: tuple[str, ...]) -> str:
    name = family.name + "_total" * (family.type == "counter")
    told = ", ".join(f"`{label}`" for label in labels)
    return f"| `{name}` | {family.type} | {told} | {family.documentation} |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
