import math
from typing import Any

import pytest

from common.errors import AmfError, UsageError
from common.rtmp.amf0 import (
    UNDEFINED,
    Date,
    EcmaArray,
    TypedObject,
    XmlDocument,
    decode_all,
    encode,
)
from common.rtmp.limits import RtmpLimits

LIMITS = RtmpLimits()


def hexa(text: str) -> bytes:
    return bytes.fromhex(text)


def decode(data: bytes, limits: RtmpLimits = LIMITS) -> Any:
    (value,) = decode_all(data, limits)
    return value


def refused(data: bytes, limits: RtmpLimits = LIMITS) -> str:
    with pytest.raises(AmfError) as caught:
        decode_all(data, limits)
    return caught.value.reason


BOTH_WAYS: list[tuple[str, Any]] = [
    ("00 3ff0000000000000", 1.0),
    ("00 c0c3880000000000", -10_000.0),
    ("01 00", False),
    ("01 01", True),
    ("02 0000", ""),
    ("02 0002 c3a9", "é"),
    ("02 0001 e9", "\udce9"),  # Latin-1 from an encoder: kept, byte for byte
    ("03 000009", {}),
    ("03 0001 61 05 0000 0101 000009", {"a": None, "": True}),
    ("05", None),
    ("06", UNDEFINED),
    ("08 00000001 0001 61 05 000009", EcmaArray(a=None)),
    ("0a 00000002 05 0a 00000000", [None, []]),
    ("0b 0000000000000000 ffc4", Date(0.0, -60)),
    ("0f 00000004 3c612f3e", XmlDocument("<a/>")),
    ("10 0001 43 0001 61 05 000009", TypedObject("C", a=None)),
    ("11 0c 05 00ff", b"\x00\xff"),
]


@pytest.mark.parametrize(("wire", "value"), BOTH_WAYS, ids=[wire for wire, _ in BOTH_WAYS])
def test_values_are_read_and_written(wire: str, value: Any) -> None:
    decoded = decode(hexa(wire))
    assert decoded == value
    assert type(decoded) is type(value)
    assert encode(value) == hexa(wire)


def test_a_typed_object_keeps_its_class() -> None:
    assert decode(encode(TypedObject("Clip", a=1))).class_name == "Clip"


def test_an_int_is_sent_as_a_number_and_a_bool_is_not() -> None:
    assert encode(1, True) == hexa("00 3ff0000000000000 01 01")


def test_numbers_that_are_none() -> None:
    assert math.isnan(decode(hexa("00 7ff8000000000000")))
    assert decode(encode(-math.inf)) == -math.inf


def test_any_byte_but_zero_is_true() -> None:
    assert decode(hexa("01 fe")) is True


def test_unsupported_is_read_as_undefined() -> None:
    assert decode(hexa("0d")) is UNDEFINED


@pytest.mark.parametrize("size", [0xFFFF, 0x10000])
def test_long_strings(size: int) -> None:
    text = "x" * size
    wire = encode(text)
    assert wire[0] == (0x02 if size <= 0xFFFF else 0x0C)
    assert decode(wire) == text


def test_several_values_in_a_row() -> None:
    values = ["connect", 1.0, {"app": "live"}, None]
    assert decode_all(encode(*values), LIMITS) == values
    assert decode_all(b"", LIMITS) == []


@pytest.mark.parametrize("count", ["00000000", "00000007", "ffffffff"])
def test_c42_the_count_of_an_ecma_array_is_ignored(count: str) -> None:
    assert decode(hexa(f"08 {count} 0001 61 05 000009")) == {"a": None}


@pytest.mark.parametrize("start", ["03", "08 00000000"])
def test_c43_the_outermost_object_may_end_with_the_message(start: str) -> None:
    connect = hexa("02 0007") + b"connect" + hexa("00 3ff0000000000000")
    wire = connect + hexa(start) + hexa("0003") + b"app" + hexa("02 0004") + b"live"
    assert decode_all(wire, LIMITS) == ["connect", 1.0, {"app": "live"}]


@pytest.mark.parametrize(
    "wire",
    ["03 0001 61 03 0001 62 05", "0a 00000001 03", "03 0001", "03 0001 61", "03 0000"],
    ids=["inner object", "object in array", "name cut off", "value missing", "end cut off"],
)
def test_c43_nothing_else_may(wire: str) -> None:
    assert refused(hexa(wire)) == "amf_truncated"


def test_c44_a_list_of_fourccs_is_read() -> None:
    value = {"fourCcList": ["av01", "vp09", "hvc1"]}
    assert decode(encode(value)) == value


@pytest.mark.parametrize("level", ["03 0001 61", "0a 00000001", "08 00000000 0001 61"])
@pytest.mark.parametrize("depth", [17, 1000, 60_000])
def test_c45_deep_nesting_is_refused(level: str, depth: int) -> None:
    reason = refused(hexa(level) * depth + b"\x05")
    assert reason in ("amf_too_deep", "amf_truncated")
    assert refused(hexa(level) * depth + b"\x05" * 8) == "amf_too_deep"


def test_c45_the_allowed_depth_is_accepted() -> None:
    assert decode(hexa("0a 00000001") * 16 + b"\x05")


@pytest.mark.parametrize("wire", ["0a ffffffff 05050505050505050505", "0a 00000003 0505"])
def test_c46_counts_beyond_the_data_fail_at_once(wire: str) -> None:
    assert refused(hexa(wire)) == "amf_truncated"


def test_the_number_of_values_is_bounded() -> None:
    limits = RtmpLimits(max_amf_nodes=10)
    assert len(decode_all(b"\x05" * 10, limits)) == 10
    assert refused(b"\x05" * 11, limits) == "amf_too_many_values"
    assert refused(hexa("0a 0000000a") + b"\x05" * 10, limits) == "amf_too_many_values"


def test_the_length_of_a_string_is_bounded() -> None:
    limits = RtmpLimits(max_amf_string_bytes=100)
    for wire in ("02 0065", "0c 00000065", "0f 00000065", "03 0065", "10 0065"):
        assert refused(hexa(wire) + bytes(0x65), limits) == "amf_string_too_long"


@pytest.mark.parametrize("marker", [0x04, 0x09, 0x0E, 0x12, 0xFF])
def test_reserved_and_unknown_markers_are_refused(marker: int) -> None:
    assert refused(bytes((marker,))) == "amf_bad_marker"


@pytest.mark.parametrize(("wire", "value"), BOTH_WAYS, ids=[wire for wire, _ in BOTH_WAYS])
def test_every_cut_is_refused_but_those_of_an_outermost_object(wire: str, value: Any) -> None:
    data = hexa(wire)
    accepted = 0
    for end in range(1, len(data)):
        try:
            decode_all(data[:end], LIMITS)
            accepted += 1
        except AmfError:
            pass
    properties = len(value) if isinstance(value, dict) else None
    assert accepted == (0 if properties is None else properties + 1)


# References.


def test_a_reference_repeats_an_earlier_value() -> None:
    first, second = decode_all(encode({"a": [1]}) + hexa("07 0001"), LIMITS)
    assert first == {"a": [1]}
    assert second == [1]


@pytest.mark.parametrize("wire", ["07 0000", "0a 00000001 07 0001"])
def test_a_reference_to_nothing_is_refused(wire: str) -> None:
    assert refused(hexa(wire)) == "amf_bad_reference"


def test_a_value_inside_itself_is_refused() -> None:
    assert refused(hexa("0a 00000001 07 0000")) == "amf_cyclic"


def test_references_cost_what_they_stand_for() -> None:
    ladder = hexa("0a 00000000")
    for n in range(14):
        ladder += hexa("0a 00000002") + 2 * (b"\x07" + n.to_bytes(2, "big"))
    assert refused(ladder) == "amf_too_many_values"
    text = encode(["x" * 60_000])
    assert refused(text + hexa("07 0000") * 10) == "amf_too_much_text"


def test_references_count_as_levels() -> None:
    ladder = hexa("0a 00000000")
    for n in range(15):
        ladder += hexa("0a 00000001 07") + n.to_bytes(2, "big")
    assert len(decode_all(ladder, LIMITS)) == 16
    assert refused(ladder + hexa("0a 00000001 07 000f")) == "amf_too_deep"


def test_what_amf0_cannot_say_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        encode(object())
    with pytest.raises(UsageError):
        encode({"x" * 0x10000: 1})
