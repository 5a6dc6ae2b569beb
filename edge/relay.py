"""One relay of a pull: how it is asked for, and its life from the attempt to connect to its end.

It can be left at any time.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable

from common.config.model import Settings
from common.errors import RelayError
from common.relay.upstream import Upstream, UpstreamAddress, UpstreamTimes
from common.supervisor.app import WorkerContext
from edge.patience import LEFT
from edge.target import Target


class Relay:
    """Begins with `run`."""

    def __init__(self) -> None:
        self._upstream: Upstream | None = None
        self._connecting: asyncio.Timeout | None = None
        self._is_left = False

    @property
    def is_connected(self) -> bool:
        """Whether it is beyond the attempt to connect."""
        return self._upstream is not None

    @property
    def is_under_way(self) -> bool:
        """Whether there is something to leave."""
        if self._upstream is None:
            return self._connecting is not None and not self._is_left
        return not self._upstream.ended.done()

    @property
    def bytes_in(self) -> int:
        """Bytes received so far."""
        return self._upstream.bytes_in if self._upstream is not None else 0

    async def run(
        self, connect: Callable[[], Awaitable[Upstream]], on_connected: Callable[[], None]
    ) -> RelayError:
        """Relay by what ``connect`` returns until that ends; return why it has."""
        try:
            self._upstream = await self._attempt(connect)
            if self._is_left:  # in the turn in which it was connected
                self._upstream.close()
            on_connected()
            return await asyncio.shield(self._upstream.ended)
        except RelayError as error:
            return error
        except UnicodeError as error:  # the resolver's answer to a host name that cannot be one
            return RelayError("bad_address", str(error))
        finally:
            if self._upstream is not None:
                self._upstream.close()

    async def _attempt(self, connect: Callable[[], Awaitable[Upstream]]) -> Upstream:
        try:
            async with asyncio.timeout(None) as self._connecting:
                return await connect()
        except TimeoutError as error:
            raise RelayError(LEFT) from error
        finally:
            self._connecting = None

    def leave(self) -> None:
        """End it. An attempt is not waited for: where an address is gone it takes all of its time.

        The attempt is cancelled as by a time-out, so that its socket is closed by whoever made it.
        """
        if not self.is_under_way:
            return
        self._is_left = True
        if self._upstream is not None:
            self._upstream.close()
        elif self._connecting is not None:
            self._connecting.reschedule(asyncio.get_running_loop().time())


def address_of(target: Target, context: WorkerContext) -> UpstreamAddress:
    """Return where ``target`` is asked; raises RelayError."""
    if target.slot is not None:
        return UpstreamAddress(unix=context.sibling_socket(target.slot))
    return UpstreamAddress.parse(target.address)


def times_for(target: Target, settings: Settings) -> UpstreamTimes:
    """Return what time it is given."""
    relay = settings.relay
    # A sibling that has to find the stream itself may hold us for as long as it may hold a
    # viewer. An edge of the zone that gets nothing is worse than none.
    waiting = 0.0 if target.slot is None else settings.edge.hold_s
    return UpstreamTimes(
        connect_s=relay.connect_timeout_s,
        first_media_s=relay.first_byte_timeout_s + waiting,
        silence_s=relay.silence_s,
        media_silence_s=math.inf if target.parent is None else relay.silence_s,
    )
