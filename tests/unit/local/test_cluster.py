import os

import pytest

from common.local.cluster import to_stderr


def test_a_log_line_that_nobody_reads_any_more_stops_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        monkeypatch.setattr("sys.stderr", _Unbuffered(writer))
        to_stderr("a node's log")
    finally:
        os.close(writer)


class _Unbuffered:
    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def flush(self) -> None:
        raise AssertionError("the pipe is broken: write has raised")
