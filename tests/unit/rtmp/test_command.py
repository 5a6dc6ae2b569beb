from typing import Any

import pytest

from common.errors import AmfError
from common.rtmp import amf0
from common.rtmp.command import Command, decode_command, decode_data, encode_command
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import MessageType

LIMITS = RtmpLimits()
CONNECT = encode_command("connect", 1, {"app": "live"})


def test_a_command_comes_back() -> None:
    payload = encode_command("play", 4, None, "cam", -2000)
    assert decode_command(MessageType.COMMAND_AMF0, payload, LIMITS) == Command(
        "play", 4.0, None, ["cam", -2000.0]
    )


@pytest.mark.parametrize("prefix", [b"\x00", b""], ids=["with 0", "first byte 02"])
def test_c37_type_17_with_and_without_its_zero(prefix: bytes) -> None:
    command = decode_command(MessageType.COMMAND_AMF3, prefix + CONNECT, LIMITS)
    assert command == Command("connect", 1.0, {"app": "live"}, [])


@pytest.mark.parametrize("prefix", [b"\x00", b""], ids=["with 0", "first byte 02"])
def test_c37_type_15_with_and_without_its_zero(prefix: bytes) -> None:
    payload = prefix + amf0.encode("onMetaData", amf0.EcmaArray(width=640))
    assert decode_data(MessageType.DATA_AMF3, payload, LIMITS) == ["onMetaData", {"width": 640.0}]


def test_a_zero_in_front_of_type_20_is_a_number() -> None:
    with pytest.raises(AmfError):
        decode_command(MessageType.COMMAND_AMF0, b"\x00" + CONNECT, LIMITS)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["x"], Command("x", 0.0)),
        (["x", 2.5], Command("x", 2.5)),
        (["x", None, None], Command("x", 0.0)),
        (["x", True, None], Command("x", 0.0)),
        (["x", "2", {}], Command("x", 0.0, {})),
        (["x", 2, amf0.UNDEFINED, "a"], Command("x", 2.0, amf0.UNDEFINED, ["a"])),
        (["publish", 5, None, False], Command("publish", 5.0, None, [False])),
    ],
)
def test_slots_may_be_missing_or_odd(values: list[Any], expected: Command) -> None:
    assert decode_command(20, amf0.encode(*values), LIMITS) == expected


@pytest.mark.parametrize("payload", [b"", amf0.encode(1), amf0.encode(None), b"\x02\x00\x09"])
def test_a_command_without_a_name_is_refused(payload: bytes) -> None:
    with pytest.raises(AmfError):
        decode_command(20, payload, LIMITS)


@pytest.mark.parametrize("message_type", [15, 18])
def test_c35_an_empty_data_message_has_no_values(message_type: int) -> None:
    assert decode_data(message_type, b"", LIMITS) == []


def test_raw_timecode_from_ffmpeg_is_no_data_message() -> None:
    with pytest.raises(AmfError):
        decode_data(18, b"\x1a\x2b\x3c\x4d", LIMITS)
