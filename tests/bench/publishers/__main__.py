"""A process of publishers: ``python -m tests.bench.publishers '{"url": …, "clip": …}'``."""

import json
import sys

from common.errors import HeadwaterError
from common.supervisor.fdlimit import raise_fd_limit

from ..child import take_precedence, tell
from .crew import Crew, CrewOptions
from .stream import PublishError

if __name__ == "__main__":
    raise_fd_limit()
    take_precedence()
    try:
        Crew(CrewOptions(**json.loads(sys.argv[1]))).run()
    except (PublishError, HeadwaterError) as error:
        tell("failed", why=str(error))
