"""`make image-test`: builds the image without a network, and runs it as the chart and compose do.

A Docker engine of its own is started in a network namespace of its own, so that neither an engine
nor the firewall of this machine is touched, and ended again. Where that cannot be done it says why
and goes out with 0, or with 1 where HEADWATER_IMAGE_TEST=required.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Final

from tests.image.build import build, fetch
from tests.image.engine import CannotStart, engine
from tests.image.say import say
from tests.image.tools import BuildError

NAMESPACE: Final = f"hw-image-{os.getpid()}"
TESTS: Final = ("tests/image/test_containers.py", "tests/image/test_compose.py")
_INSIDE: Final = "HEADWATER_IMAGE_TEST_FOLDER"
_NEEDED: Final = ("dockerd", "docker", "nsenter", "ip", "iptables", "debootstrap", "haproxy")


def main() -> int:
    """Run everything; return the exit code."""
    try:
        folder = os.environ.get(_INSIDE)
        return _in_namespace(Path(folder)) if folder else _make_namespace()
    except CannotStart as problem:
        say(f"NOT RUN, no Docker engine can be started here: {problem}")
        return int(os.environ.get("HEADWATER_IMAGE_TEST") == "required")
    except BuildError as problem:
        say(str(problem))
        return 1


def _make_namespace() -> int:
    if os.geteuid():
        raise CannotStart("it needs root")
    if missing := [tool for tool in _NEEDED if shutil.which(tool) is None]:
        raise CannotStart(f"missing: {', '.join(missing)}")
    made = subprocess.run(
        ["ip", "netns", "add", NAMESPACE], capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise CannotStart(f"no network namespace: {made.stderr.strip()}")
    folder = Path(tempfile.mkdtemp(prefix="hw-image-"))
    try:
        # nsenter, as `ip netns exec` would hide the cgroups from the engine.
        inside = ["nsenter", f"--net=/run/netns/{NAMESPACE}"]
        subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
        with _told_time("a base and wheels are fetched"):
            fetch(folder)  # here, as there is no network inside
        command = [*inside, sys.executable, "-m", "tests.image.run"]
        environment = {**os.environ, _INSIDE: str(folder)}
        return subprocess.run(command, env=environment, check=False).returncode
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run(["ip", "netns", "delete", NAMESPACE], check=False)


def _in_namespace(folder: Path) -> int:
    with engine(folder) as host:
        os.environ.update(DOCKER_HOST=host, DOCKER_BUILDKIT="0")
        with _told_time("images are built"):
            build(folder)
        command = [sys.executable, "-m", "pytest", *TESTS, "-p", "no:cacheprovider", "-s"]
        return subprocess.run(command, check=False).returncode


@contextmanager
def _told_time(what: str) -> Iterator[None]:
    began = monotonic()
    yield
    say(f"{what}, {monotonic() - began:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
