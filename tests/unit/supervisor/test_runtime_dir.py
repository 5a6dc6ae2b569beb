import os
import stat
from pathlib import Path

import pytest

from common.errors import ConfigError
from common.supervisor.runtime_dir import metrics_dir, open_runtime_dir


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("d")


def test_a_fresh_folder_is_private_and_goes_away() -> None:
    with open_runtime_dir(None) as path:
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert metrics_dir(path).is_dir()
        (path / "worker-0.0.sock").touch()
    assert not path.exists()


def test_a_wanted_folder_is_made_and_removed(short: Path) -> None:
    with open_runtime_dir(short / "a" / "b") as path:
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert not path.exists()


def test_a_folder_that_existed_is_cleared_of_what_is_ours_only(short: Path) -> None:
    (short / "theirs").touch()
    (short / "worker-12.3.sock").touch()
    metrics_dir(short).mkdir()
    (metrics_dir(short) / "counter_1.db").touch()
    with open_runtime_dir(short) as path:
        assert list(metrics_dir(path).iterdir()) == []
        assert not (path / "worker-12.3.sock").exists()
        (path / "worker-0.0.sock").touch()
    assert [each.name for each in short.iterdir()] == ["theirs"]


def test_two_nodes_do_not_share_a_folder(short: Path) -> None:
    with (
        open_runtime_dir(short),
        pytest.raises(ConfigError, match="in use by another node"),
        open_runtime_dir(short),
    ):
        pass
    with open_runtime_dir(short):
        pass


def test_a_folder_whose_sockets_would_have_too_long_a_path_is_refused(short: Path) -> None:
    wanted = short / ("ä" * 50)
    with pytest.raises(ConfigError, match="bytes, the system allows"), open_runtime_dir(wanted):
        pass
    assert not wanted.exists()


def test_a_folder_that_cannot_be_made_is_told(short: Path) -> None:
    (short / "file").touch()
    with (
        pytest.raises(ConfigError, match="cannot make"),
        open_runtime_dir(short / "file" / "below"),
    ):
        pass


def test_an_error_inside_is_not_taken_for_ours(short: Path) -> None:
    with pytest.raises(BlockingIOError), open_runtime_dir(short):
        raise BlockingIOError(os.strerror(11))
