from typing import Any

import pytest

from common.errors import MediaError
from common.media.metadata import DataKind, DataMessage, MediaInfo, parse_data
from common.rtmp import amf0
from common.rtmp.amf_values import UNDEFINED, Date, EcmaArray, TypedObject, XmlDocument
from common.rtmp.limits import RtmpLimits

LIMITS = RtmpLimits()


def parse(*values: Any) -> DataMessage | None:
    return parse_data(amf0.encode(*values), LIMITS)


def relayed(*values: Any) -> list[Any]:
    message = parse(*values)
    assert message is not None
    return amf0.decode_all(message.payload, LIMITS)


def metadata(fields: dict[str, Any]) -> Any:
    return relayed("onMetaData", fields)[1]


# conformance 70
@pytest.mark.parametrize("kind", [dict, EcmaArray])
@pytest.mark.parametrize("before", [["@setDataFrame", "onMetaData"], ["onMetaData"]])
def test_c70_metadata_is_relayed_as_an_ecma_array_without_set_data_frame(
    before: list[str], kind: type[dict[str, Any]]
) -> None:
    message = parse(*before, kind({"width": 1920.0}))
    assert message is not None
    assert message.kind is DataKind.METADATA
    assert message.payload == amf0.encode("onMetaData", EcmaArray({"width": 1920.0}))


def test_c70_clear_data_frame_clears_and_is_not_relayed() -> None:
    message = parse("@clearDataFrame", "onMetaData")
    assert message == DataMessage(kind=DataKind.CLEAR, name="@clearDataFrame")


# conformance 69
@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x00\x00\x00\x01" + bytes(5),  # a number
        amf0.encode(1.0, "onMetaData"),
        amf0.encode(None),
        amf0.encode("@setDataFrame"),
        amf0.encode("@setDataFrame", 1.0),
        amf0.encode(XmlDocument("onMetaData"), {}),
        amf0.encode("", {}),
        amf0.encode("onMetaData"),
        amf0.encode("onMetaData", None),
    ],
)
def test_c69_what_does_not_begin_with_a_name_is_not_relayed(payload: bytes) -> None:
    assert parse_data(payload, LIMITS) is None


def test_c69_a_raw_timecode_is_refused() -> None:
    # ffmpeg -map 0 with a timecode track: four bytes that are no AMF at all.
    with pytest.raises(MediaError, match="bad_data"):
        parse_data(b"\x00\x01\x02\x03", LIMITS)


@pytest.mark.parametrize("name", ["onStatus", "|RtmpSampleAccess", "onHeadwaterSource"])
def test_c71_what_servers_tell_their_players_and_relays_is_not_relayed(name: str) -> None:
    assert parse(name, {"code": "NetStream.Data.Start"}) is None


def test_names_that_end_ffmpegs_session_are_not_relayed() -> None:
    assert parse("n" * 64, 1.0) is None
    assert parse("é" * 32, 1.0) is None
    assert relayed("n" * 63, 1.0) == ["n" * 63, 1.0]


def test_the_format_byte_of_type_15_is_stepped_over() -> None:
    message = parse_data(b"\x00" + amf0.encode("onTextData", {"text": "hi"}), LIMITS)
    assert message is not None
    assert message.name == "onTextData"


def test_other_data_is_relayed_as_it_is() -> None:
    values = ["onCuePoint", {"name": "ad", "time": 1.5}, [1.0, None], True, Date(5.0)]
    message = parse(*values)
    assert message is not None
    assert message.kind is DataKind.OTHER
    assert amf0.decode_all(message.payload, LIMITS) == values


def test_a_publishers_encoding_survives() -> None:
    latin = "caf\udce9"  # what a Latin-1 byte is decoded to
    assert relayed("onTextData", latin) == ["onTextData", latin]


def test_what_players_cannot_read_is_left_out() -> None:
    fields = {
        "k" * 127: 1.0,
        "k" * 128: 1.0,
        "é" * 64: 1.0,
        "": 1.0,
        "xml": XmlDocument("<a/>"),
        "bytes": b"\x01",
        "long": "x" * 1024,
        "fits": "x" * 1023,
        "typed": TypedObject("Some.Class", {"a": 1.0}),
        "list": [1.0, XmlDocument("<a/>"), {"": 1.0, "b": 2.0}],
        "none": None,
        "undefined": UNDEFINED,
    }
    kept = metadata(fields)
    assert kept == {
        "k" * 127: 1.0,
        "fits": "x" * 1023,
        "typed": {"a": 1.0},
        "list": [1.0, None, {"b": 2.0}],
        "none": None,
        "undefined": UNDEFINED,
    }
    assert type(kept["typed"]) is dict


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, 0.0), (-1.0, -1.0), (12.5, 0.0), (float("nan"), 0.0), ("long", 0.0), (True, 0.0)],
)
def test_a_live_stream_has_no_length(value: Any, expected: float) -> None:
    assert metadata({"duration": value, "filesize": value}) == {
        "duration": expected,
        "filesize": expected,
    }


def test_an_index_of_keyframes_is_left_out() -> None:
    assert metadata({"keyframes": {"times": [0.0]}, "a": 1.0}) == {"a": 1.0}


def test_empty_metadata_is_metadata() -> None:
    assert metadata({}) == {}


@pytest.mark.parametrize(
    "payload",
    [
        amf0.encode("onMetaData") + b"\x08\x00",
        amf0.encode("onMetaData") + b"\x04",
        amf0.encode("onMetaData") + b"\x0a\xff\xff\xff\xff",
    ],
)
def test_broken_data_raises(payload: bytes) -> None:
    with pytest.raises(MediaError, match="bad_data"):
        parse_data(payload, LIMITS)


def test_data_that_is_large_only_when_written_again_is_refused() -> None:
    shared = b"\x0a\x00\x00\x01\x00" + b"\x05" * 256
    references = b"\x0a\x00\x00\x00\x0a" + b"\x07\x00\x00" * 10
    payload = amf0.encode("onX") + shared + references
    with pytest.raises(MediaError, match="data_too_large"):
        parse_data(payload, RtmpLimits(max_command_bytes=len(payload) + 100))


@pytest.mark.parametrize(
    ("fields", "info"),
    [
        ({}, MediaInfo()),
        (
            {
                "encoder": "obs-output module (libobs version 30.2.0)",
                "width": 1920.0,
                "height": 1080.0,
                "framerate": 59.94,
                "videocodecid": 7.0,
                "audiocodecid": 10.0,
            },
            MediaInfo(
                encoder="obs-output module (libobs version 30.2.0)",
                width=1920,
                height=1080,
                framerate=59.94,
                video_codec="avc1",
                audio_codec="mp4a",
            ),
        ),
        (
            {"videocodecid": "hvc1", "audiocodecid": 1332770163.0},
            MediaInfo(video_codec="hvc1", audio_codec="Opus"),
        ),
        (
            {"encoder": 5.0, "width": float("nan"), "height": 1e300, "framerate": "30"},
            MediaInfo(),
        ),
        ({"encoder": "a\x1b[2Jb\n\udcff" + "x" * 100}, MediaInfo(encoder="a[2Jb" + "x" * 72)),
    ],
)
def test_what_metadata_claims_is_read_with_care(fields: dict[str, Any], info: MediaInfo) -> None:
    message = parse("onMetaData", fields)
    assert message is not None
    assert message.info == info
