"""Many RTMP players in one process.

    python -m tests.bench.players --url rtmp://127.0.0.1:1935/live/show --count 1000 --seconds 60

Exits with 1 when a player was dropped, did not start, or got something other than what was sent.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from common.supervisor.fdlimit import raise_fd_limit
from tests.support.load_clip import Clip, default_clip
from tests.support.load_crowd import Crowd, CrowdOptions


def main() -> int:
    """Run a crowd and print what it met."""
    arguments = _parser().parse_args()
    raise_fd_limit()
    clip = None if arguments.any_content else Clip.load(arguments.clip or default_clip())
    options = CrowdOptions(
        url=arguments.url,
        count=arguments.count,
        seconds=arguments.seconds,
        sampled=arguments.sample,
        rate=arguments.rate,
        stalled=arguments.stalled,
        stall_s=arguments.stall_for,
        chunk_size=arguments.chunk_size,
    )
    figures = Crowd(options, clip, lambda line: print(line, file=sys.stderr, flush=True)).run()
    figures["errors"] = list(errors(figures))
    print(json.dumps(figures, indent=None if arguments.json else 2))
    return 1 if figures["errors"] else 0


def errors(figures: dict[str, Any]) -> list[str]:
    """Return what was wrong, in words."""
    found = [f"{count} did not start: {why}" for why, count in figures["failed"].items()]
    found += [f"{count} dropped: {why}" for why, count in figures["disconnected"].items()]
    for sample in figures["samples"] + figures["stalled"]:
        found += sample.get("errors", [])
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.players", description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--count", type=int, default=1, help="players")
    parser.add_argument("--seconds", type=float, default=10.0, help="from when all play")
    parser.add_argument("--sample", type=int, default=5, help="players whose data is all checked")
    parser.add_argument("--rate", type=float, default=500.0, help="connections per second")
    parser.add_argument("--stalled", type=int, default=0, help="more players, who stop reading …")
    parser.add_argument("--stall-for", type=float, default=0.0, help="… for seconds; 0: for good")
    parser.add_argument("--clip", type=Path, help="what is published, if not the usual clip")
    parser.add_argument("--any-content", action="store_true", help="do not compare with a clip")
    parser.add_argument("--chunk-size", type=int, default=65_536, help="that the server sends with")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
