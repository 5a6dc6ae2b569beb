"""A crowd of players in one process: connects them, reads them, and counts between two orders."""

import resource
import selectors
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from common.rtmp.client import Mode

from ..child import FINISH, MEASURE, Report, read_orders, tell
from ..clip import Clip
from ..opening import Script
from ..urls import loopback_source, stream_url
from .player import Phase, Player
from .sample import Sample

_POLL_S: Final = 0.02
_TICK_S: Final = 1.0

_REST_S: Final = 0.002
"""How long a crowd that only counts rests between two looks at its sockets, while it is measured:
it is woken once in that time at most.

On loopback whoever writes to a player that sleeps pays for waking it, which no server does across a
network. Without the rest a crowd sleeps and is woken hundreds of times in a round, more or less
often as the two happen to keep step: the same server took 21 or 31 % of a core."""

_SMALL_BUFFER_BYTES: Final = 16_384
"""Receive buffer of players that stall: the sooner it is full, the sooner the server notices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrowdOptions:
    """What a crowd is to be like."""

    url: str
    count: int
    streams: int = 1  # player n takes stream n, round and round
    rate: float = 500.0  # connections per second
    first: int = 0  # number of the first player among those of all crowds
    parse: bool = False  # look at all that comes
    clip: str | None = None  # and hold it against this file
    rtmp: bool = True  # else connect and read, no more
    stalled: int = 0  # players besides: they stop reading at their first picture …
    stall_s: float = 0.0  # … for so long; 0: for good
    start_timeout_s: float = 30.0


class Crowd:
    """Runs players against ``options.url`` until it is ordered to finish."""

    def __init__(self, options: CrowdOptions) -> None:
        self._options = options
        self._clip = Clip.load(Path(options.clip)) if options.clip else None
        urls = [stream_url(options.url, n) for n in range(options.streams)]
        self._scripts = [Script(url, Mode.PLAY) for url in urls]
        self._selector = selectors.DefaultSelector()
        self._players: list[Player] = []
        self._stalled: list[Player] = []
        self._unborn: Counter[str] = Counter()  # why, of players that got no socket
        self._asleep: dict[Player, float] = {}  # until when
        self._orders: list[str] = []
        self._next_tick = 0.0
        self._rest_s = 0.0

    def run(self) -> None:
        """Connect all, play until told to finish, report."""
        options = self._options
        self._selector.register(sys.stdin, selectors.EVENT_READ, None)
        began = time.monotonic()
        for number in range(options.count):
            self._connect(options.first + number, self._players)
            self._run_until(began + (number + 1) / options.rate)
        for number in range(options.stalled):
            self._connect(options.first + number, self._stalled, stalls=True)
        self._wait_for_start(self._players + self._stalled)
        tell("playing", count=self._playing())
        self._wait_for_order(MEASURE)
        figures = self._measure()
        self._wake_all()
        figures["stalled"] = [_stalled_figures(each) for each in self._stalled]
        for player in self._players + self._stalled:
            player.close()
        tell("result", **figures)

    def _connect(self, number: int, players: list[Player], *, stalls: bool = False) -> None:
        try:
            player = self._new_player(number, stalls=stalls)
        except OSError as error:  # of descriptors or ports
            self._unborn[error.strerror or "error"] += 1
            return
        players.append(player)
        if player.phase is not Phase.OVER:
            self._selector.register(player.socket, selectors.EVENT_WRITE, player)

    def _new_player(self, number: int, *, stalls: bool) -> Player:
        script = self._scripts[number % len(self._scripts)]
        wakes = stalls and self._options.stall_s > 0
        looks = wakes or (self._options.parse and not stalls)
        return Player(
            script.address,
            script if self._options.rtmp else None,
            Sample(self._clip, may_skip=stalls) if looks else None,
            now=time.monotonic(),
            source=loopback_source(script.address, number),
            receive_buffer=_SMALL_BUFFER_BYTES if stalls else 0,
        )

    def _wait_for_start(self, players: Sequence[Player]) -> None:
        deadline = time.monotonic() + self._options.start_timeout_s
        while time.monotonic() < deadline and FINISH not in self._orders:
            if all(each.phase in (Phase.PLAYING, Phase.OVER) for each in players):
                return
            self._poll(_POLL_S)

    def _wait_for_order(self, order: str) -> None:
        while order not in self._orders and FINISH not in self._orders:
            self._poll(_POLL_S)

    def _measure(self) -> Report:
        began = time.monotonic()
        cpu_before = _own_cpu_s()
        playing = [each for each in self._players if each.phase is Phase.PLAYING]
        for player in playing:
            player.begin_window(began)
        self._rest_s = 0.0 if self._options.parse or self._stalled else _REST_S
        self._wait_for_order(FINISH)
        now = time.monotonic()
        elapsed = max(now - began, 1e-6)
        for player in playing:
            player.end_window(now)
        return self._figures(playing, elapsed) | {
            "seconds": elapsed,
            "own_cpu_share": (_own_cpu_s() - cpu_before) / elapsed,
        }

    def _figures(self, playing: list[Player], elapsed: float) -> Report:
        samples = [each.sample for each in self._players if each.sample is not None]
        started = set(playing)
        failed = [each.end or "no picture" for each in self._players if each not in started]
        rates = [each.window_bytes * 8 / elapsed / 1000 for each in playing]
        return {
            "players": self._options.count,
            "started": len(playing),
            "failed": Counter(failed) + self._unborn,
            "disconnected": Counter(each.end for each in playing if each.end),
            "kbps": [min(rates, default=0.0), max(rates, default=0.0)],
            "bytes": sum(each.window_bytes for each in playing),
            "reads": sum(each.reads for each in playing),
            "first_keyframe_ms": [
                round(each.first_keyframe_s * 1000, 2)
                for each in self._players
                if each.first_keyframe_s is not None
            ],
            "longest_gap_ms": max((each.longest_gap_s * 1000 for each in playing), default=0.0),
            "latencies_ms": [round(each, 3) for one in samples for each in one.latencies_ms],
            "messages": sum(each.messages for each in samples),
            "errors": [error for sample in samples for error in sample.errors],
        }

    def _run_until(self, deadline: float) -> None:
        while (left := deadline - time.monotonic()) > 0:
            self._poll(min(left, _POLL_S))

    def _poll(self, timeout: float) -> None:
        if self._rest_s:
            time.sleep(self._rest_s)
        now = time.monotonic()
        served = []
        for key, events in self._selector.select(timeout):
            player = key.data
            if player is None:
                self._take_orders()
                continue
            if events & selectors.EVENT_READ:
                # The time of this player's bytes, not of the round: a latency must not hold what
                # was spent on the players before it.
                now = time.monotonic()
                player.on_readable(now)
            else:
                player.on_writable()
                self._selector.modify(player.socket, selectors.EVENT_READ, player)
            served.append(player)
        # Not before all have been read, or the last of them would seem late for what we do.
        for player in served:
            player.parse()
            if player.phase is Phase.OVER:
                self._selector.unregister(player.socket)
        if self._stalled:
            self._stall(now)
        if now >= self._next_tick:
            self._next_tick = now + _TICK_S
            tell("tick", playing=self._playing())

    def _take_orders(self) -> None:
        self._orders += read_orders()
        if FINISH in self._orders:  # or it would be told so for ever
            self._selector.unregister(sys.stdin)

    def _playing(self) -> int:
        return sum(each.phase is Phase.PLAYING for each in self._players)

    def _stall(self, now: float) -> None:
        for player in self._stalled:
            if player.phase is Phase.PLAYING and player not in self._asleep:
                self._selector.unregister(player.socket)
                self._asleep[player] = now + (self._options.stall_s or float("inf"))
            elif self._asleep.get(player, float("inf")) <= now:
                self._asleep[player] = float("inf")
                self._selector.register(player.socket, selectors.EVENT_READ, player)

    def _wake_all(self) -> None:
        """Read what the players that stalled for good still get, to its end."""
        if self._options.stall_s:
            return
        deadline = time.monotonic() + 1
        left = [each for each in self._stalled if each.phase is Phase.PLAYING]
        while left and time.monotonic() < deadline:
            left = [each for each in left if each.drop()]
            time.sleep(_POLL_S)
        for player in self._stalled:
            if player not in left:
                player.end = player.end or "closed by the server"


def _stalled_figures(player: Player) -> dict[str, Any]:
    sample = player.sample
    if sample is None:
        return {"end": player.end}
    return {"end": player.end, "skips": sample.skips, "errors": sample.errors}


def _own_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
