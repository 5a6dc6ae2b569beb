"""Headwater: a cluster of origins and edges, one of whose roles is judged."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Final, TypedDict

import common
from common.cluster.records import NodeRole
from common.local.cluster import ClusterOptions, LocalCluster
from common.local.node_process import NodeInfo

from ..metrics import Metrics
from ..proc import with_children
from .base import Running, Server

STREAM: Final = "live/bench"
_COMPILED: Final = "common/rtmp/chunk_reader.*.so"
_HERE: Final = Path(common.__file__).parents[1]


def is_compiled(code: Path | None) -> bool:
    """Tell whether the hot paths in ``code`` are compiled; None: in what runs here."""
    return any((code or _HERE).glob(_COMPILED))


class HeadwaterOptions(TypedDict, total=False):
    """What a cluster is to be beside its settings."""

    judged: NodeRole
    edges: int
    workers: int
    edge_settings: tuple[str, ...]


class ErrorLog:
    """Takes the log of a cluster's nodes and keeps what must not be in it."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self._in_traceback = False

    def take(self, line: str) -> None:
        """Look at the next line."""
        self._in_traceback = self._in_traceback and line.startswith(" ")
        if " ERROR " in line:
            self._in_traceback = True
            self.errors.append(f"logged: {line}")
        elif self._in_traceback:
            self.errors[-1] += "\n" + line


class Headwater(Server):
    """A cluster on this machine; the workers of ``judged`` nodes are what is measured."""

    strict = True

    def __init__(
        self,
        name: str = "headwater",
        *settings: str,
        judged: NodeRole = NodeRole.EDGE,
        edges: int = 1,
        workers: int = 1,
        edge_settings: tuple[str, ...] = (),
        code: Path | None = None,
    ) -> None:
        self.name = name
        self._code = code
        self.settings = settings
        self._edge_settings = edge_settings
        self._judged = judged
        self._edges = edges
        self._workers = workers

    def missing(self) -> str:
        """Nothing ever is."""
        return ""

    def version(self) -> str:
        """Return the version of this package."""
        how = "compiled" if is_compiled(self._code) else "interpreted"
        return f"headwater {version('headwater')}, {how}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Running]:
        """Run one origin and the edges; all have as many workers."""
        log = ErrorLog()
        options = ClusterOptions(
            origins=1,
            edges=self._edges,
            workers=self._workers,
            settings=self.settings,
            code=self._code,
            node_settings={f"edge-{n}": self._edge_settings for n in range(1, self._edges + 1)},
        )
        async with LocalCluster(options, log=log.take) as cluster:
            origin = cluster.origins[0].info
            player = cluster.edges[0].info if cluster.edges else origin
            judged = player if self._judged is NodeRole.EDGE else origin
            everything = {pid for node in cluster.nodes for pid in with_children(node.info.pid)}

            async def scrape() -> Metrics:
                return await Metrics.of(judged.admin)

            yield Running(
                publish_url=_url(origin),
                play_url=_url(player),
                pids=judged.workers,
                others=tuple(sorted(everything - set(judged.workers))),
                metrics=scrape,
                errors=log.errors,
            )


def _url(node: NodeInfo) -> str:
    return f"rtmp://{node.rtmp}/{STREAM}"
