"""A package says in which order to read it: each of its modules, and none that has gone."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(
    path.relative_to(ROOT).parent.as_posix()
    for name in ("common", "edge", "origin")
    for path in (ROOT / name).rglob("__init__.py")
)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_names_its_modules(package: str) -> None:
    folder = ROOT / package
    said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
    named = set(re.findall(r"`(\w+)`", said))
    assert named == {path.stem for path in folder.glob("*.py") if not path.stem.startswith("__")}
