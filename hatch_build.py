"""Compiles the hot paths with mypyc while a wheel is built, where that is asked for.

    HATCH_BUILD_HOOK_ENABLE_CUSTOM=1 pip install .

The sources are the same: what is compiled is what moves each message and each block, and the rest
stays Python. Without the variable the wheel is pure Python and runs everywhere.
"""

import os
import shutil
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGES: Final = ("common/rtmp", "common/media", "common/stream", "common/relay")
"""What is done for every message, or with each read of a relay."""

_NOT: Final = frozenset({"__init__.py", "amf_values.py"})
"""mypyc has no subclasses of built-in types, which some AMF values are."""

_INSTALL: Final = "apt-get install gcc libc6-dev python3-dev"

_CHECKS: Final = ("--follow-imports=silent", "--no-warn-unused-ignores")
"""mypy checks what it compiles, and stops at an error. What that imports, and what a newer mypy
thinks of our ignores, is `make lint`'s to say: it must not keep anybody from installing."""


class CompileHook(BuildHookInterface[Any]):
    """The build hook; hatchling finds it by its base class."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._folder = tempfile.TemporaryDirectory(prefix="headwater-build-")

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add a compiled module beside each of those sources, and say so in the wheel's name."""
        if self.target_name != "wheel" or version == "editable":
            return
        if lacking := _lacking():
            self.app.abort(
                f"To compile Headwater takes {lacking}. On Debian and Ubuntu: {_INSTALL}"
            )
        folder = Path(self._folder.name)
        with _inside(Path(self.root)):
            compile_into(folder)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        for module in sorted(folder.rglob("*.so")):
            build_data["force_include"][str(module)] = str(module.relative_to(folder))

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Leave nothing behind."""
        self._folder.cleanup()


def _lacking() -> str:
    """Return what of a compiler is not here."""
    if not (shutil.which("cc") or shutil.which("gcc") or os.environ.get("CC")):
        return "a C compiler"
    headers = Path(sysconfig.get_path("include"), "Python.h")
    return "" if headers.exists() else f"the headers of Python ({headers})"


def sources() -> list[str]:
    """Return what is compiled, from the root of the checkout."""
    found = [path for each in PACKAGES for path in sorted(Path(each).glob("*.py"))]
    return [str(path) for path in found if path.name not in _NOT]


def compile_into(folder: Path) -> None:
    """Compile the sources of the working directory; raises what setuptools raises."""
    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    with tempfile.TemporaryDirectory(prefix="headwater-mypyc-") as scratch:
        modules = mypycify(
            [*_CHECKS, *sources()], target_dir=scratch, opt_level="3", debug_level="0"
        )
        command = build_ext(Distribution({"name": "headwater", "ext_modules": modules}))
        command.build_temp = scratch
        command.build_lib = str(folder)
        command.ensure_finalized()
        command.run()


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Work in ``folder``: mypyc names modules by their paths."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
