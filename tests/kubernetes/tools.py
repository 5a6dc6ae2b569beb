"""What the rig needs of the machine, and running it."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
CACHE: Final = Path(__file__).parent / ".cache"
"""Programs and images of former runs; git ignores it."""
NETWORK_PLUGINS: Final = Path("/usr/lib/cni")
HELM: Final = ROOT / ".venv-chart" / "bin" / "helm"
_PROGRAMS: Final = (
    *("go", "openssl", "debootstrap", "dockerd", "docker"),  # to build with
    *("containerd", "ctr", "runc", "unshare", "ip", "nft", "conntrack"),  # to run with
)
_QUIETLY: Final = ("nice", "-n", "19")


class CannotRun(Exception):
    """The rig cannot run on this machine; the text says why."""


class Failed(Exception):
    """A tool failed; the text ends with what it said."""


def check() -> None:
    """Raise CannotRun when the machine lacks something."""
    if os.geteuid():
        raise CannotRun("it needs root")
    missing = [tool for tool in _PROGRAMS if shutil.which(tool) is None]
    if not (NETWORK_PLUGINS / "ptp").exists():
        missing.append(f"{NETWORK_PLUGINS}/ptp (Debian: containernetworking-plugins)")
    if missing:
        raise CannotRun(f"missing: {', '.join(missing)}")


def run(*command: str, environment: Mapping[str, str] | None = None) -> str:
    """Run a tool at low priority and return what it printed. Raises Failed."""
    done = subprocess.run(
        [*_QUIETLY, *command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()[-15:]
        raise Failed("\n".join([f"{' '.join(command[:4])} … failed:", *said]))
    return done.stdout
