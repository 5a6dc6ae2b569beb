import asyncio
import io
import json

import pytest
from rich.console import Console

from common.cli import streams
from common.cli.stream_rows import StreamRow
from common.cli.streams import bitrate, duration, fetch_rows, rows_as_json, show_streams, table
from common.clock import ManualClock
from common.cluster.memory import MemoryDirectory, MemoryTable
from common.cluster.records import Claim
from common.config.model import PublisherPolicy
from common.ids import NodeId, OwnerId, StreamKey

ROW = StreamRow(
    stream=StreamKey("live/a[red]b"),
    origin=NodeId("origin-1"),
    zone="eu-1a",
    address="10.0.0.1:20000",
    publisher="10.9.9.9:5000",
    encoder="evil\x1b[2J",
    epoch=7,
    age_s=65.0,
    standbys=2,
    edges=(NodeId("edge-1"), NodeId("edge-2")),
    edge_zones=("", "eu-1b"),
    viewers=15,
    bitrate_bps=2_500_000,
    codecs=("avc1", "mp4a"),
)


def claim_of(stream: str) -> Claim:
    return Claim(
        stream=StreamKey(stream),
        owner=OwnerId("origin-1/0/x"),
        node=NodeId("origin-1"),
        address="10.0.0.1:20000",
        started_at=0.0,
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
    assert "+2 on standby" in text
    assert "origin-1 @eu-1a" in text
    assert "edge-2 @eu-1b" in text
    assert "edge-1 @" not in text
    assert "1 live" in text


def test_json_has_one_object_per_stream() -> None:
    text = rows_as_json([ROW])
    assert "\x1b" not in text
    assert "\n" not in text
    (stream,) = json.loads(text)["streams"]
    assert stream["edges"] == ["edge-1", "edge-2"]
    assert stream["bitrate_bps"] == 2_500_000


async def test_into_a_pipe_nothing_is_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    directory = MemoryDirectory(ManualClock())
    name = "live/" + "long" * 30
    await directory.claim(claim_of(name), PublisherPolicy.TAKEOVER)
    await show_streams(directory, as_json=False)
    assert name in capsys.readouterr().out


async def test_rows_come_from_the_directory(capsys: pytest.CaptureFixture[str]) -> None:
    directory = MemoryDirectory(ManualClock())
    route = await directory.claim(claim_of("live/a"), PublisherPolicy.TAKEOVER)
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


async def test_a_watch_survives_the_table_being_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(streams, "REFRESH_S", 0.0)
    table = MemoryTable()
    directory = MemoryDirectory(ManualClock(), table=table)
    table.go_down()
    watch = asyncio.create_task(streams.watch_streams(directory, as_json=True))
    printed = out = ""
    async with asyncio.timeout(5):
        while "headwater: " not in printed:
            await asyncio.sleep(0)
            printed += capsys.readouterr().err
        table.come_back()
        while '{"streams": []}\n' not in out:
            await asyncio.sleep(0)
            out += capsys.readouterr().out
    watch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watch
