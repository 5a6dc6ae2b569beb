import os
from importlib.util import find_spec
from pathlib import Path

import pytest

import hatch_build

ROOT = Path(hatch_build.__file__).parent


def test_code_is_compiled_exactly_where_it_is_meant_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make test-compiled` runs these same tests; they must not pass on the sources instead."""
    monkeypatch.chdir(ROOT)
    wanted = ".so" if os.environ.get("TEST_COMPILED") else ".py"
    for source in hatch_build.sources():
        spec = find_spec(source.removesuffix(".py").replace("/", "."))
        assert spec is not None
        assert spec.origin is not None
        assert Path(spec.origin).suffix == wanted, source


def test_what_runs_for_each_message_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert {
        "common/rtmp/chunk_reader.py",
        "common/rtmp/chunk_writer.py",
        "common/rtmp/connection.py",
        "common/media/flv.py",
        "common/media/gop.py",
        "common/stream/flusher.py",
        "common/stream/live.py",
        "common/stream/output.py",
    } <= set(hatch_build.sources())


def test_a_missing_compiler_is_named_before_anything_is_tried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert hatch_build._lacking() == "a C compiler"
    monkeypatch.setenv("CC", "clang")
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    assert hatch_build._lacking() == f"the headers of Python ({tmp_path}/Python.h)"
