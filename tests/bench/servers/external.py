"""A server that runs already."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..proc import with_children
from .base import Running, Server


class External(Server):
    """Any RTMP server, by URL; its CPU is measured where ``pids`` are given."""

    def __init__(self, url: str, pids: tuple[int, ...], play_url: str | None = None) -> None:
        self.name = "external"
        self._url = url
        self._play_url = play_url or url
        self._pids = pids

    def missing(self) -> str:
        """It is said to run."""
        return ""

    def version(self) -> str:
        """Return its URL, all that is known."""
        return self._url

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Running]:
        """Use it as it is."""
        pids = {each for pid in self._pids for each in with_children(pid)}
        yield Running(
            publish_url=self._url,
            play_url=self._play_url,
            pids=tuple(sorted(pids)),
            is_ours=False,
        )
