import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from common.cli.main import app
from common.config.loader import load_settings


def headwater(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(app, arguments, env=dict(environ))


def test_config_prints_what_is_in_force_as_yaml_that_can_be_loaded(tmp_path: Path) -> None:
    file = tmp_path / "in.yaml"
    file.write_text("node: {zone: 'a: #b'}\nvhosts: [x.example]\npublish: {policy: reject}")
    result = headwater("config", "--config", str(file), HEADWATER_RTMP__BACKLOG="7")
    assert result.exit_code == 0
    printed = tmp_path / "out.yaml"
    printed.write_text(result.stdout)
    settings = load_settings(file=printed, environ={})
    assert settings == load_settings(file=file, environ={}, overrides=["rtmp.backlog=7"])


def test_config_tells_where_each_value_came_from(tmp_path: Path) -> None:
    file = tmp_path / "in.yaml"
    file.write_text("node:\n  zone: a\nvhosts: [x]")
    result = headwater(
        "config",
        "--sources",
        "--set",
        "edge.hold_s=1",
        HEADWATER_CONFIG=str(file),
        HEADWATER_RTMP__BACKLOG="7",
    )
    lines = result.stdout.splitlines()
    assert f"  zone: a  # {file}:2" in lines
    assert f"vhosts:  # {file}:3" in lines
    assert "  backlog: 7  # HEADWATER_RTMP__BACKLOG" in lines
    assert "  hold_s: 1.0  # --set" in lines
    assert "  level: info  # default" in lines
    assert yaml.safe_load(result.stdout)["vhosts"] == ["x"]


def test_config_prints_no_secrets() -> None:
    result = headwater("config", "--set", "redis.url=redis://u:hunter2@h/1")
    assert "url: redis://u:***@h/1" in result.stdout
    assert "hunter2" not in headwater("config", "--set", "redis.password=hunter2").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("config", "--set", "rtmp.lisen=:1"),
        ("origin", "--listen", "nowhere"),
        ("edge", "--config", "/does/not/exist"),
        ("streams", "--redis", "http://h"),
        ("streams", "--unknown"),
        ("edge", "--workers", "many"),
        ("nothing",),
    ],
)
def test_bad_use_is_exit_code_2_with_the_problem_on_stderr_alone(
    arguments: tuple[str, ...],
) -> None:
    result = headwater(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr
    assert "Traceback" not in result.stderr


def test_a_bad_flag_is_named_as_it_was_given() -> None:
    result = headwater("edge", "--listen", "nowhere")
    assert "--listen: rtmp.listen = 'nowhere': must end with a port" in result.stderr


def test_redis_away_is_a_failure_in_one_line() -> None:
    result = headwater("streams", "--redis", "redis://127.0.0.1:1/0")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1


def test_version() -> None:
    compiled = " (compiled)" if os.environ.get("TEST_COMPILED") else ""
    assert headwater("version").stdout == f"headwater {version('headwater')}{compiled}\n"


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; import common.cli.main; "
        "heavy = {'aiohttp', 'pydantic', 'redis', 'rich.table', 'uvloop', 'yaml', 'msgpack'}; "
        "print(*heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("command", ["up", "demo"])
def test_a_local_cluster_is_not_begun_with_a_bad_redis_url(command: str) -> None:
    result = headwater(command, "--redis", "http://h")
    assert result.exit_code == 2
    assert "--redis: redis.url = ***: must begin with" in result.stderr


def test_a_healthcheck_without_a_node_fails_and_says_why() -> None:
    result = headwater("healthcheck", "live", "--admin", "127.0.0.1:1")
    assert result.exit_code == 1
    assert "no answer from 127.0.0.1:1" in result.stderr
