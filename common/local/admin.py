"""Asking a node's admin port."""

import math
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families


async def fetch_status(session: aiohttp.ClientSession, admin: str) -> dict[str, Any]:
    """Return the status page of the node whose admin address is ``admin``.

    Raises aiohttp.ClientError or TimeoutError when it does not answer.
    """
    async with session.get(f"http://{admin}/status", raise_for_status=True) as response:
        return dict(await response.json())


async def fetch_metrics(session: aiohttp.ClientSession, admin: str) -> "MetricsPage":
    """Return the metrics of the node; raises as `fetch_status`."""
    async with session.get(f"http://{admin}/metrics", raise_for_status=True) as response:
        return MetricsPage(await response.text())


class MetricsPage:
    """What one scrape brought."""

    def __init__(self, text: str) -> None:
        self._samples = [
            (sample.name, sample.labels, sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of all samples of ``name`` that have these labels."""
        return math.fsum(
            value
            for sample_name, its, value in self._samples
            if sample_name == name and labels.items() <= its.items()
        )
