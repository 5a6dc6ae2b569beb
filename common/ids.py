"""Identifiers, as types of their own so that none is passed for another."""

from typing import NewType

StreamKey = NewType("StreamKey", str)
"""A stream's canonical key: ``app/name``, or ``app/name@vhost`` off the default vhost.

Made in one place only: `common.streamkey`.
"""

NodeId = NewType("NodeId", str)
"""One origin or edge as the cluster sees it (a pod, a process tree on a host)."""

OwnerId = NewType("OwnerId", str)
"""One publish session in one worker: ``node/slot/random``. Leases compare it."""
