"""A publisher in real time, each picture stamped with the time at which it is sent.

    python -m tests.bench.publisher --url rtmp://127.0.0.1:1935/live/show

Prints "publishing" when it is accepted, and at its end how late it was against the clip's clock.
"""

import argparse
import json
import signal
import sys
from pathlib import Path

from tests.support.load_clip import Clip, default_clip
from tests.support.load_crowd import percentiles
from tests.support.load_publisher import Publisher, PublishError


class _Ended(BaseException):
    """SIGTERM came."""


def main() -> int:
    """Publish until the time is over or SIGTERM comes."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.publisher", description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--clip", type=Path, help="FLV with H.264 and AAC; by default one is made")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _end)
    publisher = Publisher(arguments.url, Clip.load(arguments.clip or default_clip()))
    try:
        publisher.start()
        print("publishing", flush=True)
        publisher.run(arguments.seconds)
    except PublishError as error:
        print(f"publisher: {error}", file=sys.stderr)
        return 1
    except _Ended:
        pass
    publisher.close()
    sent = publisher.figures
    figures = {"messages": sent.messages, "bytes": sent.bytes, "late_ms": percentiles(sent.late_ms)}
    print(json.dumps(figures))
    return 0


def _end(number: int, frame: object) -> None:
    raise _Ended


if __name__ == "__main__":
    sys.exit(main())
