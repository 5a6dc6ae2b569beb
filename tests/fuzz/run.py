"""Runs the fuzz targets: ``python -m tests.fuzz.run [--seconds N] [--seed N] [names...]``.

A target is a file ``fuzz_<name>.py`` with ``def target(data: bytes) -> None`` that raises only
when there is a bug: it catches the errors that the code under test documents. Its corpus is
``corpus/<name>/``; every file in it is also replayed by the normal test run (test_corpus.py).

The same inputs are tried every time, as far as the time goes, so that a check of one change does
not fail for another's sake; ``--seed`` tries others: use it for long runs.

Each target runs in a process of its own. Where atheris can be imported it guides by coverage;
elsewhere a plain loop mutates the corpus. What was found is not kept: an input that breaks a
target is written to the directory named at the end, to be made a corpus file with the fix.
"""

import argparse
import importlib.util
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parent.parent
SECONDS_PER_INPUT: Final = 5
MAX_INPUT_BYTES: Final = 16_384
MEMORY_MB: Final = 1024

Target = Callable[[bytes], None]


def names() -> list[str]:
    """Return the names of all targets."""
    return sorted(path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.py"))


def load(name: str) -> Target:
    """Return the target called ``name``."""
    spec = importlib.util.spec_from_file_location(f"fuzz_{name}", HERE / f"fuzz_{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    target: Target = module.target
    return target


def corpus(name: str) -> list[Path]:
    """Return the committed inputs of a target."""
    return sorted((HERE / "corpus" / name).iterdir())


def say(text: str) -> None:
    """Print a line before the output of what is started next."""
    print(text, flush=True)  # noqa: T201 - this is a command


def main() -> int:
    """Run the chosen targets one after the other; return how many were broken."""
    parser = argparse.ArgumentParser(description="Fuzz the decoders.")
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(names()))
    parser.add_argument("--seconds", type=int, default=10, help="time for each target")
    parser.add_argument("--seed", type=int, default=1, help="another one tries other inputs")
    parser.add_argument("--found", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.found:
        fuzz_here(options.names[0], options.seconds, options.seed, options.found)
        return 0
    chosen = options.names or names()
    broken = [name for name in chosen if not run(name, options.seconds, options.seed)]
    say(f"broken: {', '.join(broken)}" if broken else "no target broke")
    return len(broken)


def run(name: str, seconds: int, seed: int) -> bool:
    """Fuzz one target in a process of its own; False when it broke."""
    found = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    limits = ["--seconds", str(seconds), "--seed", str(seed)]
    command = [sys.executable, __file__, name, *limits, "--found", str(found)]
    say(f"== {name}")
    try:
        done = subprocess.run(command, cwd=ROOT, timeout=seconds + 60, check=False)
        code: int | str = done.returncode
    except subprocess.TimeoutExpired:
        code = "hung"
    left = sorted(found.iterdir())
    if code != 0:
        say(f"== {name}: {code}; see {', '.join(map(str, left)) or 'above'}")
        return False
    found.rmdir()
    return True


def fuzz_here(name: str, seconds: int, seed: int, found: Path) -> None:
    """Fuzz one target in this process."""
    sys.path.insert(0, str(ROOT))
    if importlib.util.find_spec("atheris"):
        fuzz_guided(name, seconds, seed, found)
    else:
        fuzz_blind(name, seconds, seed, found)


def fuzz_guided(name: str, seconds: int, seed: int, found: Path) -> None:
    """Let atheris look for inputs that reach new code."""
    import atheris

    with atheris.instrument_imports(include=["common"]):
        target = load(name)
    with tempfile.TemporaryDirectory() as scratch:
        arguments = [
            sys.argv[0],
            scratch,  # new inputs go to the first directory
            str(HERE / "corpus" / name),
            f"-max_total_time={seconds}",
            f"-seed={seed}",
            f"-max_len={MAX_INPUT_BYTES}",
            f"-timeout={SECONDS_PER_INPUT}",
            f"-rss_limit_mb={MEMORY_MB}",
            f"-artifact_prefix={found}/",
            "-print_final_stats=1",
            "-verbosity=0",
        ]
        atheris.Setup(arguments, target)
        atheris.Fuzz()


def fuzz_blind(name: str, seconds: int, seed: int, found: Path) -> None:
    """Mutate corpus inputs at random."""
    target = load(name)
    seeds = [path.read_bytes() for path in corpus(name)] or [b""]
    rng = random.Random(f"{name} {seed}")
    end = time.monotonic() + seconds
    rounds = 0
    while time.monotonic() < end:
        data = mutated(rng, seeds)
        began = time.monotonic()
        try:
            target(data)
            if time.monotonic() - began > SECONDS_PER_INPUT:
                raise TimeoutError(f"more than {SECONDS_PER_INPUT} s for one input")
        except BaseException:
            (found / "crash").write_bytes(data)
            raise
        rounds += 1
    say(f"{rounds} inputs, without coverage: atheris is not installed")


def mutated(rng: random.Random, seeds: list[bytes]) -> bytes:
    """Return a seed with a few bytes changed, cut, doubled or joined with another seed's."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, 6)):
        at = rng.randint(0, len(data))
        size = rng.randint(1, 16)
        match rng.randrange(6):
            case 0:
                data[at : at + 1] = bytes((rng.choice((0, 1, 3, 9, 0x7F, 0x80, 0xC3, 0xFF)),))
            case 1:
                data[at : at + size] = rng.randbytes(size)
            case 2:
                del data[at : at + size]
            case 3:
                data[at:at] = data[at : at + size] * rng.randint(1, 20)
            case 4:
                other = rng.choice(seeds)
                data[at:] = other[rng.randint(0, len(other)) :]
            case _:
                if at < len(data):
                    data[at] ^= 1 << rng.randrange(8)
    return bytes(data[:MAX_INPUT_BYTES])


if __name__ == "__main__":
    sys.exit(main())
