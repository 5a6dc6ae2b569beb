"""What is measured: each scenario answers one question."""

from .adaptive import ADAPTIVE
from .base import Scenario
from .fanout import FANOUT
from .ingest import INGEST
from .join import JOIN
from .latency import LATENCY
from .limit import LIMIT
from .memory import MEMORY
from .scaling import SCALING
from .workers import WORKERS

SCENARIOS: dict[str, Scenario] = {
    each.name: each
    for each in (FANOUT, MEMORY, JOIN, INGEST, SCALING, WORKERS, LATENCY, ADAPTIVE, LIMIT)
}
"""In the order in which the standard set runs them."""
