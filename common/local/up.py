"""The command `headwater up`: a cluster on this machine until Ctrl-C."""

import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from common.errors import HeadwaterError
from common.local.cluster import ClusterOptions, LocalCluster, LocalNode, to_stderr
from common.local.ending import run_until_signal
from common.logs import redact

FAILED: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """What `headwater up` was asked for."""

    cluster: ClusterOptions = field(default_factory=ClusterOptions)
    json: bool = False  # print one line of JSON for scripts instead of a table for people


async def run_up(options: UpOptions) -> int:
    """Run a local cluster until SIGTERM or SIGINT; return the exit code.

    When all is ready, prints what there is: one line of JSON, or a table. Logs go to stderr.
    """
    try:
        return await run_until_signal(_run(options))
    except HeadwaterError as error:
        to_stderr(f"headwater up: {error}")
        return FAILED


async def _run(options: UpOptions) -> int:
    async with LocalCluster(options.cluster) as cluster:
        text = json.dumps(cluster.as_dict()) if options.json else "\n".join(_table(cluster))
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()
    return 0


def _table(cluster: LocalCluster) -> Iterator[str]:
    """Yield the lines that tell people what runs where."""
    yield f"redis     {redact(cluster.redis_url)}"
    for node in cluster.nodes:
        yield f"{node.info.id:<9} {_url(node)}   admin http://{node.info.admin}/status"
    yield ""
    if cluster.origins:
        yield f"publish to {_url(cluster.origins[0])}/live/STREAM (any origin)"
    if cluster.edges:
        yield f"play from  {_url(cluster.edges[0])}/live/STREAM (any edge)"
    yield "end with Ctrl-C"


def _url(node: LocalNode) -> str:
    return f"rtmp://{node.info.rtmp}"
