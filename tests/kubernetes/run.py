"""`make cluster-test`: installs the chart on a real Kubernetes, upgrades it under load, removes it.

Everything runs in namespaces of its own and ends with them (see README.md). Where that cannot be
done it says why and goes out with 1.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.image.engine import CannotStart
from tests.image.tools import BuildError
from tests.kubernetes import control_plane, images, network, node
from tests.kubernetes.daemons import daemons
from tests.kubernetes.places import control_group, furnish, run_apart
from tests.kubernetes.programs import programs
from tests.kubernetes.say import say, told_time
from tests.kubernetes.tools import CACHE, CannotRun, Failed, check

TESTS: Final = ("tests/kubernetes/test_release.py", "tests/kubernetes/test_examples.py")
_STAGE: Final = "HEADWATER_CLUSTER_STAGE"
_FOLDER: Final = "HEADWATER_CLUSTER_FOLDER"
_IMAGES: Final = "HEADWATER_CLUSTER_IMAGES"
_GROUP: Final = "HEADWATER_CLUSTER_GROUP"


def main() -> int:
    """Run everything; return the exit code."""
    try:
        stage = os.environ.get(_STAGE)
        if stage is None:
            check()
            # As Ctrl-C does: what was begun is ended.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            return _outside()
        folder = Path(os.environ[_FOLDER])
        furnish(folder)
        return {"images": _build_images, "cluster": _run_cluster}[stage](folder)
    except (CannotRun, CannotStart, Failed, BuildError) as problem:
        say(str(problem))
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _outside() -> int:
    CACHE.mkdir(exist_ok=True)
    programs()
    archive = images.archive()
    if not archive.exists():
        with _folder() as folder:
            images.get_parts(folder)
            if code := _run_stage("images", folder, archive):
                return code
    with _folder() as folder:
        return _run_stage("cluster", folder, archive)


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="hw-cluster-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run_stage(stage: str, folder: Path, archive: Path) -> int:
    group = f"hw-cluster-{os.getpid()}"
    command = [sys.executable, "-m", "tests.kubernetes.run", *sys.argv[1:]]
    with control_group(group):
        place = {_FOLDER: str(folder), _IMAGES: str(archive), _GROUP: group}
        return run_apart(command, {_STAGE: stage, **place})


def _build_images(folder: Path) -> int:
    images.build_all(folder, Path(os.environ[_IMAGES]), os.environ[_GROUP])
    return 0


def _run_cluster(folder: Path) -> int:
    built = programs()
    network.furnish()
    with daemons(folder / "logs") as running:
        with told_time("Kubernetes runs"):
            access = control_plane.start(running, built, folder)
            node.start(
                running, built, folder, access, Path(os.environ[_IMAGES]), os.environ[_GROUP]
            )
        os.environ["KUBECONFIG"] = str(access.kubeconfig)
        os.environ["HEADWATER_CLUSTER_TOKEN"] = access.token
        pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-x", "-s"]
        command = [*network.OUTSIDE, *pytest, *TESTS, *sys.argv[1:]]
        code = subprocess.run(command, check=False).returncode
    if kept := os.environ.get("KEEP_LOGS"):
        shutil.copytree(folder / "logs", kept, dirs_exist_ok=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
