"""Two seconds of a stream through the classification."""

from pytest_benchmark.fixture import BenchmarkFixture

from common.media.flv import classify
from tests.bench.micro.streams import load_clip

CLIP = load_clip()


def test_flv_classification(benchmark: BenchmarkFixture) -> None:
    bodies = [(tag.type_id, tag.payload) for tag in CLIP.media]

    def classify_all() -> int:
        return len([classify(type_id, payload) for type_id, payload in bodies])

    assert benchmark(classify_all) == len(CLIP.media)
