"""The command `headwater up` as a process: ``python -m tests.support.up_command '{"edges": 1}'``.

The argument holds `ClusterOptions` as JSON; what is ready is printed as JSON.
"""

import json
import sys

import uvloop

from common.local.cluster import ClusterOptions
from common.local.up import UpOptions, run_up

MODULE = "tests.support.up_command"


def main() -> int:
    """Run the cluster and return the exit code."""
    given = json.loads(sys.argv[1])
    options = ClusterOptions(**given | {"settings": tuple(given.get("settings", ()))})
    return uvloop.run(run_up(UpOptions(cluster=options, json=True)))


if __name__ == "__main__":
    sys.exit(main())
