from pathlib import Path

from tests.bench.servers.headwater import is_compiled


def test_code_counts_as_compiled_by_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "common" / "rtmp").mkdir(parents=True)
    (tmp_path / "common" / "rtmp" / "chunk_reader.py").touch()
    assert not is_compiled(tmp_path)
    (tmp_path / "common" / "rtmp" / "chunk_reader.cpython-313-x86_64-linux-gnu.so").touch()
    assert is_compiled(tmp_path)
