"""How fast this machine is: what never changes, so that figures of two machines compare."""

from pytest_benchmark.fixture import BenchmarkFixture


def count_bytes() -> int:
    counts: dict[int, int] = {}
    for number in range(10_000):
        counts[number % 97] = counts.get(number % 97, 0) + 1
    return len(counts)


def test_machine(benchmark: BenchmarkFixture) -> None:
    assert benchmark(count_bytes) == 97
