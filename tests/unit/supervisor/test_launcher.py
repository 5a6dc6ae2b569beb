import asyncio
import json
import os
import socket

import pytest

from common.errors import ConfigError
from common.supervisor.launcher import open_launcher


def test_without_a_launcher_nobody_is_told() -> None:
    with open_launcher(None) as launcher:
        launcher.tell({"id": "n"})


def test_a_pipe_gets_one_line_and_is_closed() -> None:
    read, write = os.pipe()
    with open(read, "rb") as pipe, open_launcher(write) as launcher:
        launcher.tell({"id": "n", "workers": [1, 2]})
        assert json.loads(pipe.read()) == {"id": "n", "workers": [1, 2]}


def test_a_pipe_that_nobody_reads_is_no_failure() -> None:
    read, write = os.pipe()
    os.close(read)
    with open_launcher(write) as launcher:
        launcher.tell({"id": "n"})
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(write)


async def test_a_socket_says_when_the_launcher_has_gone() -> None:
    ours, theirs = socket.socketpair()
    with ours, open_launcher(theirs.detach()) as launcher:
        gone = asyncio.create_task(launcher.gone())
        launcher.tell({"id": "n"})
        assert ours.recv(100) == b'{"id": "n"}\n'
        await asyncio.sleep(0)
        assert not gone.done()
        ours.close()
        async with asyncio.timeout(5):
            await gone
        launcher.tell({"id": "n"})


def test_a_descriptor_that_is_not_open_is_refused() -> None:
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    with pytest.raises(ConfigError, match="--ready-fd"), open_launcher(write):
        pass
