"""A node of sleepy workers as a process: ``python -m tests.support.sleepy_node path=value ...``.

``SLEEPY_READY_FD`` in the environment names the descriptor that is told when it is ready.
"""

import os
import sys

import uvloop

from common.cluster.records import NodeRole
from common.config.loader import load_settings
from common.config.model import Settings
from common.logs import setup_logging
from common.supervisor.node import run_node
from tests.support import sleepy_role

MODULE = "tests.support.sleepy_node"
READY_FD_ENV = "SLEEPY_READY_FD"


def main() -> int:
    """Run the node and return its exit code."""
    ready_fd = os.environ.get(READY_FD_ENV)

    def load() -> Settings:
        return load_settings(file=None, environ={}, overrides=sys.argv[1:])

    settings = load()
    setup_logging(settings.log.level, settings.log.format, node=settings.node.id)
    return uvloop.run(
        run_node(
            NodeRole.ORIGIN,
            settings,
            load=load,
            ready_fd=int(ready_fd) if ready_fd else None,
            worker_module=sleepy_role.MODULE,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
