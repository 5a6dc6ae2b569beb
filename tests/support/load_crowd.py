"""A crowd of players in one process: connects them, reads them, watches how far behind they are."""

import resource
import selectors
import time
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.support.load_clip import Clip
from tests.support.load_player import Phase, Player, Script
from tests.support.load_sample import ContentMap, Sample

_SNAPSHOT_S: Final = 0.1
_POLL_S: Final = 0.02
_START_TIMEOUT_S: Final = 20.0
_SETTLE_S: Final = 0.5
"""What players begin with is up to a whole GOP old: it has come before anything is measured."""
_SMALL_BUFFER_BYTES: Final = 16_384
"""Receive buffer of players that stall: the sooner it is full, the sooner the server notices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrowdOptions:
    """What a crowd is to be like."""

    url: str
    count: int
    seconds: float  # from when all play
    sampled: int = 1  # of them; the first player always is
    rate: float = 500.0  # connections per second
    stalled: int = 0  # players besides: they stop reading at their first picture …
    stall_s: float = 0.0  # … for so long; 0: for good
    chunk_size: int = 65_536  # that the server sends with


class Crowd:
    """Runs players against ``options.url``; `run` returns the figures."""

    def __init__(
        self, options: CrowdOptions, clip: Clip | None, progress: Callable[[str], None]
    ) -> None:
        self._options = options
        self._clip = clip
        self._progress = progress
        self._script = Script(options.url)
        self._selector = selectors.DefaultSelector()
        self._map = ContentMap(options.chunk_size)
        self._reference = Sample(clip, chart=self._map)
        self._players: list[Player] = []
        self._stalled: list[Player] = []
        self._asleep: dict[Player, float] = {}  # until when
        self._lags_ms = array("f")
        self._window_bytes: list[int] = []

    def run(self) -> dict[str, Any]:
        """Connect all, play for the time, leave; return figures for JSON."""
        options = self._options
        self._connect(self._reference)
        self._wait_for_start(self._players)
        began = time.monotonic()
        for number in range(1, options.count):
            sample = Sample(self._clip) if number < options.sampled else None
            self._connect(sample)
            self._run_until(began + number / options.rate)
        for _ in range(options.stalled):
            self._stalled.append(self._connect_stalled())
        self._wait_for_start(self._players + self._stalled)
        self._run_until(time.monotonic() + _SETTLE_S)
        figures = self._measure()
        self._wake_all()
        figures["stalled"] = [_stalled_figures(each) for each in self._stalled]
        for player in self._players + self._stalled:
            player.close()
        self._selector.close()
        return figures

    def _connect(self, sample: Sample | None) -> None:
        self._players.append(self._register(Player(self._script, self._map, sample)))

    def _connect_stalled(self) -> Player:
        sample = Sample(self._clip, may_skip=True) if self._options.stall_s else None
        return self._register(
            Player(self._script, self._map, sample, receive_buffer=_SMALL_BUFFER_BYTES)
        )

    def _register(self, player: Player) -> Player:
        if player.phase is not Phase.OVER:
            self._selector.register(player.socket, selectors.EVENT_WRITE, player)
        return player

    def _wait_for_start(self, players: Sequence[Player]) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            if all(each.phase in (Phase.PLAYING, Phase.OVER) for each in players):
                return
            self._poll(_POLL_S)

    def _measure(self) -> dict[str, Any]:
        """Play for the time, with a snapshot of everybody's lag ten times a second."""
        began = time.monotonic()
        cpu_before = _own_cpu_s()
        playing = [each for each in self._players if each.phase is Phase.PLAYING]
        bytes_before = [each.bytes for each in playing]
        for player in playing:
            player.longest_gap_s = 0.0
            if player.sample is not None:
                player.sample.latencies_ms.clear()
        end = began + self._options.seconds
        next_snapshot = next_line = began
        while (now := time.monotonic()) < end:
            if now >= next_snapshot:
                next_snapshot = now + _SNAPSHOT_S
                self._take_lags(playing)
            if now >= next_line:
                next_line += 5
                self._tell(now - began)
            self._run_until(min(next_snapshot, end))
        self._take_lags(playing)
        elapsed = time.monotonic() - began
        rates = [
            (each.bytes - before) * 8 / elapsed / 1000
            for each, before in zip(playing, bytes_before, strict=True)
        ]
        return self._figures(playing, rates) | {
            "seconds": elapsed,
            "bytes": sum(each.bytes for each in playing) - sum(bytes_before),
            "own_cpu_share": (_own_cpu_s() - cpu_before) / elapsed,
        }

    def _figures(self, playing: list[Player], rates_kbps: list[float]) -> dict[str, Any]:
        samples = [each.sample for each in self._players if each.sample is not None]
        latencies = [each for sample in samples for each in sample.latencies_ms]
        first_frames = [each.first_frame_s * 1000 for each in self._players if each.first_frame_s]
        return {
            "players": self._options.count,
            "started": len(playing),
            "failed": Counter(p.end or "no picture" for p in self._players if p not in playing),
            "disconnected": Counter(each.end for each in playing if each.end),
            "kbps": {"min": min(rates_kbps, default=0), "max": max(rates_kbps, default=0)},
            # The first player may have had to wait for the pull.
            "first_frame_ms": percentiles(first_frames[1:] or first_frames),
            "first_frame_of_first_ms": first_frames[0] if first_frames else None,
            "longest_gap_ms": max((each.longest_gap_s * 1000 for each in playing), default=0),
            "lag_ms": percentiles(self._lags_ms),
            "latency_ms": percentiles(latencies),
            "samples": [_sample_figures(each) for each in samples],
        }

    def _run_until(self, deadline: float) -> None:
        while (left := deadline - time.monotonic()) > 0:
            self._poll(min(left, _POLL_S))

    def _poll(self, timeout: float) -> None:
        for key, events in self._selector.select(timeout):
            player = key.data
            if events & selectors.EVENT_READ:
                player.on_readable(time.monotonic())
            else:
                player.on_writable()
                self._selector.modify(player.socket, selectors.EVENT_READ, player)
            if player.phase is Phase.OVER:
                self._selector.unregister(player.socket)
        if self._stalled:
            self._stall()

    def _stall(self) -> None:
        now = time.monotonic()
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

    def _take_lags(self, playing: list[Player]) -> None:
        origin = self._reference.origin_s
        if origin is None:
            return
        content = self._map
        now = time.monotonic()
        for player in playing:
            if player.phase is Phase.PLAYING:
                timestamp = content.timestamp_at(player.keyframe, player.content_bytes)
                if timestamp is not None:
                    self._lags_ms.append((now - origin) * 1000 - timestamp)

    def _tell(self, elapsed: float) -> None:
        phases = Counter(each.phase for each in self._players)
        self._progress(
            f"{elapsed:5.1f} s  {phases[Phase.PLAYING]} of {self._options.count} play, "
            f"{phases[Phase.OVER]} are over"
        )


def percentiles(values: Sequence[float]) -> dict[str, float] | None:
    """Return median, 99th percentile and maximum; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    last = len(ordered) - 1
    return {"p50": ordered[last // 2], "p99": ordered[round(last * 0.99)], "max": ordered[last]}


def _sample_figures(sample: Sample) -> dict[str, Any]:
    return {
        "messages": sample.messages,
        "skips": sample.skips,
        "errors": sample.errors,
        "latency_ms": percentiles(sample.latencies_ms),
    }


def _stalled_figures(player: Player) -> dict[str, Any]:
    sample = player.sample
    return {"end": player.end} | (_sample_figures(sample) if sample is not None else {})


def _own_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
