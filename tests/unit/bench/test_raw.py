"""The send loop sends the clip's bytes in the number of writes that it is told."""

import asyncio
import os
from pathlib import Path

import pytest

from common.rtmp.targets import parse_rtmp_url
from tests.bench.clip import Clip
from tests.bench.servers import raw
from tests.bench.servers.raw import RawLoop, schedule
from tests.bench.synthetic import synthetic_flv


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    path = tmp_path / "clip.flv"
    path.write_bytes(synthetic_flv(4, 30))
    return Clip.load(path)


@pytest.mark.parametrize(
    ("writes_per_s", "blocks"), [(200, 308), (77, 308), (74, 296), (50, 200), (20, 80), (5, 20)]
)
def test_all_bytes_are_scheduled_in_as_many_writes(
    clip: Clip, writes_per_s: float, blocks: int
) -> None:
    found = schedule(clip, writes_per_s)
    assert len(found) == pytest.approx(blocks, abs=2)
    sizes = sum(size for _, size in found)
    assert sizes == sum(len(tag.payload) + 12 for tag in clip.media)
    assert [due for due, _ in found] == sorted(due for due, _ in found)
    assert found[-1][0] <= clip.duration_ms * 1000


@pytest.mark.parametrize("compiler", ["found", None])
async def test_the_loop_sends(
    clip: Clip, compiler: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if compiler is None:
        monkeypatch.setattr(raw, "_compiler", lambda: None)
    async with RawLoop("raw", clip, 20).running() as running:
        target = parse_rtmp_url(running.play_url)
        reader, writer = await asyncio.open_connection(target.host, target.port)
        async with asyncio.timeout(10):
            assert len(await reader.readexactly(10_000)) == 10_000
        (pid,) = running.pids
        writer.close()
        assert running.writes_per_s == pytest.approx(20, rel=0.05)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
