from pathlib import Path

import pytest

from tests.fuzz.run import corpus, load, names

CASES = [(name, path) for name in names() for path in corpus(name)]


@pytest.mark.parametrize(
    ("name", "path"), CASES, ids=[f"{name}-{path.name}" for name, path in CASES]
)
def test_every_known_input_is_taken_or_refused(name: str, path: Path) -> None:
    load(name)(path.read_bytes())


@pytest.mark.parametrize("name", names())
def test_every_target_has_a_corpus(name: str) -> None:
    assert corpus(name)
