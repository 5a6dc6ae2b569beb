"""Namespaces of the rig: none of the processes, networks, mounts and settings outside is touched.

Whatever runs in them ends with their first process, however that ends.
"""

import errno
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from tests.kubernetes.tools import Failed

_GONE_S: Final = 20
_GROUPS: Final = Path("/sys/fs/cgroup")
# The kubelet writes these, which are the whole machine's: here it writes into files.
_SETTINGS: Final = (
    *("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops"),
    *("kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"),
)


def run_apart(command: list[str], environment: Mapping[str, str]) -> int:
    """Run a command as the first process of new namespaces; return its exit code."""
    apart = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return subprocess.run(
        [*apart, *command], env={**os.environ, **environment}, check=False
    ).returncode


def furnish(folder: Path) -> None:
    """Prepare namespaces for their first process, which this is; ``folder`` keeps their files."""
    _do("ip", "link", "set", "lo", "up")
    # What is written below /run and /var goes away with the namespace.
    _do("mount", "-t", "tmpfs", "tmpfs", "/run")
    upper, work = folder / "var", folder / "var-work"
    upper.mkdir()
    work.mkdir()
    layers = f"lowerdir=/var,upperdir={upper},workdir={work}"
    _do("mount", "-t", "overlay", "overlay", "-o", layers, "/var")
    for setting in _SETTINGS:
        real = Path("/proc/sys", setting)
        copy = folder / setting.replace("/", "-")
        copy.write_text(real.read_text())
        _do("mount", "--bind", str(copy), str(real))


def _do(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"{' '.join(command)}: {done.stderr.strip()}")


@contextmanager
def control_group(name: str) -> Iterator[None]:
    """Have a control group for all containers, in every hierarchy; remove all that is in it."""
    hierarchies = _hierarchies()
    for hierarchy in hierarchies:
        (hierarchy / name).mkdir()
        _inherit(hierarchy, hierarchy / name)
    try:
        yield
    finally:
        for hierarchy in hierarchies:
            for folder, _, _ in os.walk(hierarchy / name, topdown=False):
                _remove_group(folder)


def _remove_group(folder: str) -> None:
    """Remove a control group as soon as it is empty: who was killed takes a moment to be gone."""
    deadline = monotonic() + _GONE_S
    while True:
        try:
            return os.rmdir(folder)
        except OSError as error:
            if error.errno != errno.EBUSY or monotonic() > deadline:
                raise
            sleep(0.1)


def _hierarchies() -> list[Path]:
    if (_GROUPS / "cgroup.controllers").exists():
        return [_GROUPS]
    return [each for each in _GROUPS.iterdir() if (each / "cgroup.procs").exists()]


def _inherit(parent: Path, child: Path) -> None:
    """Copy what a group of the cpuset controller must have before anything can be in it."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (parent / name).exists() and (child / name).exists():
            (child / name).write_text((parent / name).read_text())
