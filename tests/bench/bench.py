"""What scenarios run on: servers, trials in turn, progress."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Unpack

from common.errors import HeadwaterError

from .clip import Clip, ClipFile
from .load import Load
from .result import Result
from .servers.base import Server
from .servers.headwater import Headwater, HeadwaterOptions, is_compiled
from .trial import Trial, run_trial

Round = Mapping[str, Trial]
"""The trials of one round so far, by server."""

MakeServer = Callable[[Round], Server | None]
_SHOWN_NOTES = 3
_OWN_CORES = "Judged workers had cores of their own."


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked for on the command line; None: as the scenario has it."""

    players: int | None = None
    seconds: float | None = None
    repeats: int | None = None
    settings: tuple[str, ...] = ()  # "path=value", of every Headwater
    code: Path | None = None  # that its nodes run; None: what runs here


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One side of a comparison. A function makes a server that depends on this round's trials."""

    name: str
    server: Server | MakeServer
    load: Load

    def make(self, so_far: Round) -> Server | None:
        """Return the server for a round, None to sit this one out."""
        return self.server if isinstance(self.server, Server) else self.server(so_far)


@dataclass(slots=True, kw_only=True)
class Bench:
    """Runs trials and keeps what came of them in the result of the scenario."""

    options: Options
    clip: Clip
    clip_file: ClipFile
    peers: Sequence[Server]
    say: Callable[[str], None]
    versions: dict[str, str] = field(default_factory=dict)

    async def trial(self, result: Result, server: Server, load: Load) -> Trial | None:
        """Run one trial; None when it failed, which the result says."""
        self.versions[server.name] = server.version()
        try:
            trial = await run_trial(
                server, load, self.clip_file.path, lambda text: self.say(f"{server.name}: {text}")
            )
        except HeadwaterError as error:
            self._note(result, server, [f"{server.name}: {error}"])
            return None
        result.trials.append(trial)
        if trial.own_cores and _OWN_CORES not in result.notes:
            result.notes.append(_OWN_CORES)
        self._note(result, server, [f"{server.name}: {each}" for each in trial.problems])
        return trial

    async def compare(
        self, result: Result, contenders: Sequence[Contender], repeats: int
    ) -> dict[str, list[Trial]]:
        """Run all contenders in turn, round after round; return the trials of each by name."""
        done: dict[str, list[Trial]] = {each.name: [] for each in contenders}
        for number in range(self.options.repeats or repeats):
            so_far: dict[str, Trial] = {}
            for contender in contenders:
                self.say(f"round {number + 1}: {contender.name}")
                server = contender.make(so_far)
                trial = server and await self.trial(result, server, contender.load)
                if trial:
                    so_far[contender.name] = trial
                    done[contender.name].append(trial)
        return done

    def headwater(
        self, name: str = "headwater", *settings: str, **options: Unpack[HeadwaterOptions]
    ) -> Headwater:
        """Return a Headwater as it was asked for; what was set on the command line wins."""
        asked = self.options
        return Headwater(name, *settings, *asked.settings, code=asked.code, **options)

    def interpreted(
        self, name: str, *settings: str, **options: Unpack[HeadwaterOptions]
    ) -> list[Headwater]:
        """Return the same as this code has it, to hold a compiled build against; or nothing."""
        if not is_compiled(self.options.code) or is_compiled(None):
            return []
        name = f"{name}, interpreted"
        return [Headwater(name, *settings, *self.options.settings, **options)]

    def players(self, usual: int) -> int:
        """Return how many players to run where ``usual`` are."""
        return self.options.players or usual

    def seconds(self, usual: float) -> float:
        """Return for how long to measure where that is ``usual``."""
        return self.options.seconds or usual

    @staticmethod
    def _note(result: Result, server: Server, problems: Sequence[str]) -> None:
        """Problems of ours make the bench fail; peers have their own ways, which are told."""
        if server.strict:
            result.problems += problems
            return
        notes = list(dict.fromkeys(problems))
        result.notes += [each for each in notes[:_SHOWN_NOTES] if each not in result.notes]
