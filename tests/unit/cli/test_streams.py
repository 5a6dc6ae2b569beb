import io
import json

import pytest
from rich.console import Console

from common.cli.stream_rows import StreamRow
from common.cli.streams import bitrate, duration, fetch_rows, rows_as_json, show_streams, table
from common.clock import ManualClock
from common.cluster.memory import MemoryDirectory
from common.cluster.records import Claim
from common.config.model import PublisherPolicy
from common.ids import NodeId, OwnerId, StreamKey

ROW = StreamRow(
    stream=StreamKey("live/a[red]b"),
    origin=NodeId("origin-1"),
    address="10.0.0.1:20000",
    publisher="10.9.9.9:5000",
    encoder="evil\x1b[2J",
    epoch=7,
    age_s=65.0,
    edges=(NodeId("edge-1"), NodeId("edge-2")),
    viewers=15,
    bitrate_bps=2_500_000,
    codecs=("avc1", "mp4a"),
)


def test_the_table_shows_a_row_without_letting_markup_or_terminal_codes_through() -> None:
    output = io.StringIO()
    Console(file=output, width=200, force_terminal=False).print(table([ROW]))
    text = output.getvalue()
    assert "live/a[red]b" in text
    assert "evil\\x1b[2J" in text
    assert "\x1b" not in text
    for part in ("origin-1", "10.9.9.9:5000", "avc1 mp4a", "edge-2", "15", "2.5 Mbit/s", "1m05s"):
        assert part in text
    assert "1 live" in text


def test_json_has_one_object_per_stream() -> None:
    text = rows_as_json([ROW])
    assert "\x1b" not in text
    assert "\n" not in text
    (stream,) = json.loads(text)["streams"]
    assert stream["edges"] == ["edge-1", "edge-2"]
    assert stream["bitrate_bps"] == 2_500_000


async def test_rows_come_from_the_directory(capsys: pytest.CaptureFixture[str]) -> None:
    directory = MemoryDirectory(ManualClock())
    claim = Claim(
        stream=StreamKey("live/a"),
        owner=OwnerId("origin-1/0/x"),
        node=NodeId("origin-1"),
        address="10.0.0.1:20000",
        started_at=0.0,
    )
    route = await directory.claim(claim, PublisherPolicy.TAKEOVER)
    (row,) = await fetch_rows(directory)
    assert (row.stream, row.epoch) == ("live/a", route.epoch)
    await show_streams(directory, as_json=True)
    assert json.loads(capsys.readouterr().out)["streams"][0]["origin"] == "origin-1"


@pytest.mark.parametrize(
    ("bits", "text"),
    [(0, "-"), (64_000, "64 kbit/s"), (999_999, "1000 kbit/s"), (6_000_000, "6.0 Mbit/s")],
)
def test_bitrates_for_people(bits: int, text: str) -> None:
    assert bitrate(bits) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0s"), (59.9, "59s"), (65, "1m05s"), (7620, "2h07m"), (356_400, "4d03h")],
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
