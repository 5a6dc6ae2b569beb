"""Keeps a node's record in the routing table fresh."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from common.cluster.directory import Directory
from common.cluster.records import NodeLoad, NodeRecord
from common.errors import ClusterError
from common.ids import NodeId
from common.logs import get_log

_log = get_log("supervisor")


class NodeReporter:
    """Writes what ``describe`` returns into the table, every ``period_s`` seconds.

    Nothing that goes wrong with a report is a failure of the node, whose streams go on: it is noted
    in `problem` and tried again.
    """

    def __init__(
        self,
        directory: Directory,
        node: NodeId,
        describe: Callable[[], tuple[NodeRecord, NodeLoad]],
        period_s: float,
    ) -> None:
        self._directory = directory
        self._node = node
        self._describe = describe
        self._period_s = period_s
        self._wake = asyncio.Event()
        self._finishing = False
        self._leaving = True
        self.problem = "not reached yet"
        """Why the table does not know this node; empty when it does."""

    def hurry(self) -> None:
        """Write now: something changed that others should know at once."""
        self._wake.set()

    def finish(self, *, leave: bool = True) -> None:
        """Make `run` return; the node leaves the table, unless another reporter goes on there."""
        self._leaving = leave
        self._finishing = True
        self._wake.set()

    async def run(self) -> None:
        """Report until told to finish. Must not be cancelled for that.

        A write that was cut off may still be carried out, after the removal, and leave the
        record of a node that has gone. Closes the directory at its end.
        """
        try:
            await self._run()
        finally:
            await self._directory.close()

    async def _run(self) -> None:
        while not self._finishing:
            self._wake.clear()
            await self._report()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._period_s):
                    await self._wake.wait()
        # The end does not wait for a table that is away.
        if self._leaving and not self.problem:
            with suppress(ClusterError):
                await self._directory.remove_node(self._node)

    async def _report(self) -> None:
        try:
            await self._directory.put_node(*self._describe())
        except ClusterError as error:
            if self._note_problem("unreachable"):
                _log.warning("routing table cannot be reached", reason=error)
            return
        except Exception as error:  # an error of ours, or one of the client that nobody thought of
            if self._note_problem("not written"):
                _log.exception("node record cannot be written", error)
            return
        if self.problem:
            _log.info("routing table knows this node")
        self.problem = ""

    def _note_problem(self, what: str) -> bool:
        """Note since when reports fail in this way; return whether that is new."""
        if self.problem.startswith(what):
            return False
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.problem = f"{what} since {now}"
        return True
