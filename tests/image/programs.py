"""What the run of the compose file needs from Debian: `docker compose`, and programs of others.

The file names images of a registry, which is out of reach here. Images of our own under local names
(compose.local.yaml, stand-ins.Dockerfile) hold the same programs, from Debian's packages.
"""

import shutil
from pathlib import Path
from typing import Final

from tests.image.tools import run_tool

DEBS: Final = "debs"
DOCKER_CONFIG: Final = "docker"
_COMPOSE: Final = "docker-compose"
_PLUGIN: Final = "usr/libexec/docker/cli-plugins/docker-compose"
_STAND_INS: Final = ("valkey-server", "valkey-tools", "haproxy", "prometheus", "busybox")
_LOADER: Final = "ld-linux-x86-64.so.2"


def fetch(base: Path, folder: Path) -> None:
    """Get packages of the suite that ``base`` was made of, and lay them out in ``folder``.

    There will be DEBS for the images, and DOCKER_CONFIG with the plugin. Raises `BuildError` where
    the suite does not have them.
    """
    run_tool("chroot", str(base), "apt-get", "-qq", "update")
    _download(base, folder / DEBS, *_STAND_INS)
    _download(base, folder / _COMPOSE, _COMPOSE)
    (package,) = (folder / _COMPOSE).glob(f"{_COMPOSE}_*.deb")
    run_tool("dpkg", "-x", str(package), str(folder / "unpacked"))
    _install_plugin(base, folder)


def _download(base: Path, folder: Path, *packages: str) -> None:
    """Get packages, and those that they need and ``base`` does not have."""
    inside = Path("var/cache", folder.name)
    (base / inside / "partial").mkdir(parents=True)
    run_tool(
        *("chroot", str(base), "apt-get", "-qq", "install", "--download-only"),
        *("--no-install-recommends", "-o", f"Dir::Cache::archives=/{inside}", *packages),
    )
    shutil.copytree(base / inside, folder)


def _install_plugin(base: Path, folder: Path) -> None:
    """Make a plugin that brings its own C library: that of this machine may be an older one."""
    libraries = folder / "lib"
    libraries.mkdir()
    for name in (_LOADER, "libc.so.6"):
        shutil.copy(base / "usr/lib/x86_64-linux-gnu" / name, libraries)
    plugin = folder / DOCKER_CONFIG / "cli-plugins" / _COMPOSE
    plugin.parent.mkdir(parents=True)
    run = f"{libraries}/{_LOADER} --library-path {libraries} {folder}/unpacked/{_PLUGIN}"
    plugin.write_text(f'#!/bin/sh\nexec {run} "$@"\n')
    plugin.chmod(0o755)
