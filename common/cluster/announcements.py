"""Listening to the cluster for as long as a worker lives."""

import asyncio
from collections.abc import Callable
from typing import Final, NoReturn

from common.cluster.directory import Directory
from common.cluster.records import ClusterEvent
from common.logs import get_log

PAUSE_S: Final = 1.0
"""Before listening again when it ended for a reason that nobody thought of."""

_log = get_log("cluster.announcements")


async def follow(directory: Directory, handle: Callable[[ClusterEvent], None]) -> NoReturn:
    """Give every announcement to ``handle``, for ever.

    A worker that does not listen any more serves what is gone and misses what moves, and nobody
    sees it. So whatever goes wrong with one announcement costs that one only.
    """
    while True:
        try:
            async for event in directory.events():
                _hand_over(event, handle)
        except Exception as error:  # see above: the table's own errors never come this far
            _log.exception("listening to announcements failed", error)
        await asyncio.sleep(PAUSE_S)


def _hand_over(event: ClusterEvent, handle: Callable[[ClusterEvent], None]) -> None:
    try:
        handle(event)
    except Exception as error:  # a bug in what this one stream set off must not deafen the worker
        _log.exception("announcement failed", error, kind=event.kind.value, stream=event.stream)
