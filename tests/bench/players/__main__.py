"""A process of players: ``python -m tests.bench.players '{"url": …, "count": …}'``."""

import json
import sys

from common.errors import HeadwaterError
from common.supervisor.fdlimit import raise_fd_limit

from ..child import take_precedence, tell
from .crowd import Crowd, CrowdOptions

if __name__ == "__main__":
    raise_fd_limit()
    options = CrowdOptions(**json.loads(sys.argv[1]))
    if options.parse:
        take_precedence()
    try:
        Crowd(options).run()
    except HeadwaterError as error:
        tell("failed", why=str(error))
