import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from common.config.model import Settings
from common.errors import ConfigError
from common.supervisor.reload import Reloader, keep_fixed
from tests.support.wait import until

IN_FORCE = Settings.model_validate(
    {"rtmp": {"listen": "0.0.0.0:1935", "backlog": 10}, "node": {"id": "a", "zone": "x"}}
)


def test_what_only_a_restart_can_change_is_kept_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loaded = Settings.model_validate(
        {
            "rtmp": {"listen": "0.0.0.0:1936", "backlog": 20},
            "admin": {"listen": "0.0.0.0:1"},
            "node": {"id": "b", "zone": "y", "runtime_dir": "/run/b"},
        }
    )
    kept = keep_fixed(IN_FORCE, loaded)
    assert (kept.rtmp.listen, kept.rtmp.backlog) == ("0.0.0.0:1935", 20)
    assert kept.admin.listen == IN_FORCE.admin.listen
    assert (kept.node.id, kept.node.zone, kept.node.runtime_dir) == ("a", "y", None)
    told = [record.__dict__["fields"]["setting"] for record in caplog.records]
    assert told == ["rtmp.listen", "admin.listen", "node.id", "node.runtime_dir"]


def test_everything_else_is_taken_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    loaded = IN_FORCE.model_copy(update={"vhosts": ["live.example"]})
    assert keep_fixed(IN_FORCE, loaded) == loaded
    assert caplog.records == []


class Case:
    """A reloader whose loads a test answers."""

    def __init__(self) -> None:
        self.answer: Settings | ConfigError = IN_FORCE
        self.unfit: ConfigError | None = None
        self.loads = 0
        self.applied: list[Settings] = []
        self.reloader = Reloader(self.load, lambda: IN_FORCE, self.apply)

    def apply(self, settings: Settings) -> None:
        if self.unfit is not None:
            raise self.unfit
        self.applied.append(settings)

    def load(self) -> Settings:
        self.loads += 1
        if isinstance(self.answer, ConfigError):
            raise self.answer
        return self.answer


@pytest.fixture
async def case() -> AsyncIterator[Case]:
    made = Case()
    running = asyncio.ensure_future(made.reloader.run())
    yield made
    running.cancel()
    await asyncio.wait({running})


async def test_settings_are_loaded_when_that_is_wanted(case: Case) -> None:
    case.reloader.want()
    case.reloader.want()
    await until(lambda: case.applied == [IN_FORCE])
    assert case.loads == 1
    case.reloader.want()
    await until(lambda: len(case.applied) == 2)


async def test_each_problem_of_bad_settings_is_told_and_the_next_load_counts(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    case.answer = ConfigError(["hw.yaml:1: no", "hw.yaml:2: nor this"])
    case.reloader.want()
    await until(lambda: len(caplog.records) == 2)
    assert case.applied == []
    case.answer = IN_FORCE
    case.reloader.want()
    await until(lambda: case.applied == [IN_FORCE])


async def test_settings_that_do_not_fit_this_machine_are_refused_and_the_next_load_counts(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    case.unfit = ConfigError(["relay.port_base is too high"])
    case.reloader.want()
    await until(lambda: len(caplog.records) == 1)
    case.unfit = None
    case.reloader.want()
    await until(lambda: case.applied == [IN_FORCE])
