"""One cluster for all of these tests, and the clips that they publish."""

import json
import os
import secrets
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.supervisor.python_module import module_command, module_environment
from tests.support.e2e import GRACE_S, Clip, Cluster, Node, make_clip
from tests.support.processes import with_environment

SETTINGS = (
    f"edge.grace_s={GRACE_S}",  # also what ends players, once their publisher has gone
    "edge.hold_s=5",  # players are started first, and publishers may take their time
    "publish.app_policies={strict: reject}",
    "supervisor.heartbeat_s=0.2",
    "rtmp.max_connections=1000",
)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two origins and two edges with three workers each; nothing may go wrong in their logs."""
    log_path = tmp_path_factory.mktemp("cluster") / "log"
    with tempfile.TemporaryDirectory() as folder:  # a short path: Unix sockets are made in it
        yield from run_cluster(log_path, folder)
        assert list(with_environment("TMPDIR", folder)) == []
        assert os.listdir(folder) == []
    text = log_path.read_text()
    assert "Traceback" not in text, text


def run_cluster(log_path: Path, folder: str) -> Iterator[Cluster]:
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    command = module_command("common.cli", "up", "--json", "--workers", "3", *settings)
    with (
        log_path.open("wb") as log,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, env=module_environment(TMPDIR=folder)
        ) as process,
    ):
        try:
            assert process.stdout is not None
            ready: dict[str, Any] = json.loads(process.stdout.readline() or "{}")
            assert ready, log_path.read_text()
            yield Cluster(
                origins=[Node(each["rtmp"], each["admin"]) for each in ready["origins"]],
                edges=[Node(each["rtmp"], each["admin"]) for each in ready["edges"]],
            )
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(30)
    assert code == 0, log_path.read_text()


@pytest.fixture
def stream() -> str:
    """A stream name of this test alone."""
    return f"live/s{secrets.token_hex(4)}"


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for clips."""
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="session")
def h264_aac(clips: Path) -> Clip:
    """With B-frames, so that decoding and presentation times differ."""
    return make_clip(
        clips, "h264", "-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-c:a", "aac"
    )


@pytest.fixture(scope="session")
def hevc_aac(clips: Path) -> Clip:
    quiet = ("-x265-params", "log-level=none:keyint=25")
    return make_clip(
        clips, "hevc", "-c:v", "libx265", "-preset", "ultrafast", *quiet, "-c:a", "aac"
    )


@pytest.fixture(scope="session")
def av1_opus(clips: Path) -> Clip:
    return make_clip(clips, "av1", "-c:v", "libsvtav1", "-preset", "11", "-c:a", "libopus")
