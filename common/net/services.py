"""What every connection and session of a worker shares."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from common.config.model import Settings
from common.ids import NodeId
from common.net.deadlines import Deadlines
from common.net.door import Door
from common.net.registry import Registry
from common.net.roles import Role
from common.rtmp.limits import RtmpLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The worker, as its connections see it."""

    role: Role
    node: NodeId
    loop: asyncio.AbstractEventLoop
    limits: RtmpLimits
    chunk_size: int
    keepalive_s: int
    unsent_bytes: int  # what the kernel may hold unsent for each connection
    viewer_bytes: int  # what a viewer may have unsent: a start from the cache, and lag
    lag_limit_s: float  # how far behind its stream a viewer may be, and so when that ends
    kick_after_s: float  # how long one that gets nothing more may take for what it was sent
    vhosts: frozenset[str]
    deadlines: Deadlines
    registry: Registry
    door: Door
    now: Callable[[], float] = monotonic  # uvloop's own clock stands still within a turn

    @classmethod
    def of(
        cls, settings: Settings, role: Role, node: NodeId, loop: asyncio.AbstractEventLoop
    ) -> "Services":
        """Return the services that ``settings`` ask for."""
        return cls(
            role=role,
            node=node,
            loop=loop,
            limits=settings.rtmp.limits(),
            chunk_size=settings.rtmp.chunk_size,
            keepalive_s=settings.rtmp.keepalive_s,
            unsent_bytes=settings.fanout.unsent_bytes,
            viewer_bytes=settings.gop.max_bytes + 2 * settings.fanout.lag_limit_bytes,
            lag_limit_s=settings.fanout.lag_limit_ms / 1000,
            kick_after_s=settings.fanout.kick_after_s,
            vhosts=frozenset(settings.vhosts),
            deadlines=Deadlines(loop),
            registry=Registry(settings.rtmp.max_connections),
            door=Door(
                settings.rtmp.proxy_trusted,
                header_required=settings.rtmp.proxy_required,
                max_per_address=settings.rtmp.max_per_address,
            ),
        )
