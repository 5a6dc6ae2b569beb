"""Streams whose viewers cost something to write to, for the tests of the flusher."""

from common.config.model import FanoutSettings
from common.media.packet import Role
from common.stream.flushable import FlushTimes
from common.stream.viewer import Audience
from tests.support.fanout import FakeViewer, Fanout

GATHER_S = 0.001
"""For so long a round that is dear waits for what comes with its beginning …"""

GATHER_SHARE = 0.1
"""… and another one for so much of the interval."""


def begin(
    viewers: int, *, cost_s: float = 0.0, **settings: float
) -> tuple[Fanout, list[FakeViewer]]:
    """Returns a stream with viewers whose writes take ``cost_s`` each."""
    fanout = Fanout(FanoutSettings.model_validate(settings))
    fanout.push(Role.KEYFRAME, b"K1")
    fanout.flush()
    watchers = [fanout.watch() for _ in range(viewers)]

    def spend() -> None:
        fanout.loop.now += cost_s

    for watcher in watchers:
        watcher.sink.on_write = spend
    return fanout, watchers


def one_round(fanout: Fanout) -> None:
    """Sends a frame and writes it."""
    fanout.push(Role.FRAME, b"F")
    fanout.flush()


def settled_interval(fanout: Fanout) -> float:
    """Returns the interval after a while."""
    for _ in range(40):
        one_round(fanout)
    return fanout.flusher.interval_s


def settle_at_once(fanout: Fanout) -> None:
    """Lets pass as much time as a round waits for what comes with its beginning."""
    while fanout.loop.turn():
        pass
    fanout.loop.now += max(GATHER_S, fanout.flusher.interval_s * GATHER_SHARE)
    while fanout.loop.turn():
        pass


class Costly:
    """An output whose viewers are all served by `begin_flush` itself, as congested ones are."""

    def __init__(self, fanout: Fanout, viewers: int, cost_s: float) -> None:
        self.viewers = viewers
        self.times = FlushTimes()
        self._fanout = fanout
        self._cost_s = cost_s

    def begin_flush(self, now: float) -> tuple[bytes, Audience]:
        self._fanout.loop.now += self._cost_s
        return b"", Audience([])
