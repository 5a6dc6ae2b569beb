"""A node's metrics page."""

import asyncio
import urllib.request

from prometheus_client.parser import text_string_to_metric_families


class Metrics:
    """One scrape of a node's metrics page."""

    def __init__(self, text: str) -> None:
        self._samples = [
            sample for family in text_string_to_metric_families(text) for sample in family.samples
        ]

    @classmethod
    async def of(cls, admin: str) -> "Metrics":
        """Scrape the node whose admin port is ``host:port``."""
        return cls(await asyncio.to_thread(_fetch, f"http://{admin}/metrics"))

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of all series of ``name`` that have ``labels``; 0 if there are none."""
        wanted = labels.items()
        return sum(
            each.value
            for each in self._samples
            if each.name == name and wanted <= each.labels.items()
        )


def _fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as response:
        return str(response.read().decode())
