import os
import subprocess
from pathlib import Path

import pytest

from common.supervisor.fdlimit import raise_fd_limit
from common.supervisor.python_module import module_command, module_environment


def test_a_folder_where_we_happen_to_be_does_not_take_the_place_of_our_code(
    tmp_path: Path,
) -> None:
    (tmp_path / "common").mkdir()
    (tmp_path / "common" / "__init__.py").write_text("raise SystemExit('wrong')")
    command = module_command("common.supervisor.fdlimit")
    done = subprocess.run(command, cwd=tmp_path, env=module_environment(), check=False)
    assert done.returncode == 0


def test_a_python_path_that_is_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    environment = module_environment(MORE="1")
    assert environment["PYTHONPATH"].split(os.pathsep)[1:] == ["/elsewhere"]
    assert environment["MORE"] == "1"


def test_other_code_takes_the_place_of_ours_where_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "common").mkdir()
    (tmp_path / "common" / "__init__.py").write_text("raise SystemExit(7)")
    command = module_command("common.supervisor.fdlimit")
    environment = module_environment(code=tmp_path)
    assert subprocess.run(command, env=environment, check=False).returncode == 7


def test_the_limit_of_open_files_is_the_hard_one() -> None:
    script = (
        "import resource as r; from common.supervisor.fdlimit import raise_fd_limit;"
        "hard = r.getrlimit(r.RLIMIT_NOFILE)[1]; r.setrlimit(r.RLIMIT_NOFILE, (64, hard));"
        "assert raise_fd_limit() == r.getrlimit(r.RLIMIT_NOFILE)[0] == hard"
    )
    command = [*module_command("x")[:-2], "-c", script]
    assert subprocess.run(command, env=module_environment(), check=False).returncode == 0
    assert raise_fd_limit() > 64
