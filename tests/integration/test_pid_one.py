"""A node as pid 1, as in a container: the kernel gives it no signal that it has no handler for."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from common.supervisor.python_module import module_command, module_environment
from tests.support.tools import Tool, running, system_tool
from tests.support.wait import until

pytestmark = pytest.mark.integration

NAMESPACE = ("--fork", "--kill-child", "--pid", "--mount-proc")


async def test_sigterm_ends_a_container_that_is_still_starting() -> None:
    unshare = namespaces()
    settings = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1")
    node = module_command("common.cli", "origin", *settings)
    environment = [f"{name}={value}" for name, value in module_environment().items()]
    async with running(unshare, *NAMESPACE, "env", "-i", *environment, *node) as tool:
        await until(lambda: any(catches(pid, signal.SIGTERM) for pid in children(tool)))
        for pid in children(tool):
            os.kill(pid, signal.SIGTERM)
        code, log = await tool.ended()
        assert code in (0, 128 + signal.SIGTERM), log


def namespaces() -> Path:
    """Return the program that makes a pid namespace; skips the test where there are none."""
    unshare = system_tool("unshare")
    if subprocess.run([unshare, *NAMESPACE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no pid namespaces here")
    return unshare


def children(tool: Tool) -> list[int]:
    """Return the processes that a program has started."""
    parent = tool.process.pid
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def catches(pid: int, number: signal.Signals) -> bool:
    """Say whether a process has a handler for this signal."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    caught = next(line for line in lines if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)
