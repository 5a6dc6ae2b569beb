from typing import Any

import pytest

from common.errors import AmfError
from common.rtmp.amf0 import UNDEFINED, Date, EcmaArray, TypedObject, XmlDocument, decode_all
from common.rtmp.amf3 import Amf3Decoder, encode_byte_array
from common.rtmp.amf_cursor import AmfCursor
from common.rtmp.limits import RtmpLimits

LIMITS = RtmpLimits()


def decode(wire: str, limits: RtmpLimits = LIMITS) -> Any:
    """Return the only value in ``wire``."""
    cursor = AmfCursor(bytes.fromhex(wire), limits)
    value = Amf3Decoder(cursor).value()
    assert cursor.pos == cursor.end
    return value


def refused(wire: str, limits: RtmpLimits = LIMITS) -> str:
    with pytest.raises(AmfError) as caught:
        decode(wire, limits)
    return caught.value.reason


VALUES: list[tuple[str, Any]] = [
    ("00", UNDEFINED),
    ("01", None),
    ("02", False),
    ("03", True),
    ("04 00", 0),
    ("04 7f", 0x7F),
    ("04 8100", 0x80),
    ("04 ff7f", 0x3FFF),
    ("04 818000", 0x4000),
    ("04 80c08000", 0x200000),
    ("04 bfffffff", 0x0FFFFFFF),
    ("04 c0808000", -0x10000000),
    ("04 ffffffff", -1),
    ("05 3ff0000000000000", 1.0),
    ("06 01", ""),
    ("06 05 c3a9", "é"),
    ("06 03 e9", "\udce9"),
    ("07 09 3c612f3e", XmlDocument("<a/>")),
    ("0b 09 3c612f3e", XmlDocument("<a/>")),
    ("08 01 3ff0000000000000", Date(1.0)),
    ("09 01 01", []),
    ("09 05 01 01 0401", [None, 1]),
    ("09 03 03 61 02 01 03", EcmaArray({"a": False, "0": True})),
    ("0a 0b 01 03 61 02 01", {"a": False}),
    ("0a 13 01 03 61 02", {"a": False}),
    ("0a 1b 03 43 03 61 02 03 62 03 01", TypedObject("C", a=False, b=True)),
    ("0c 05 00ff", b"\x00\xff"),
    ("0d 05 00 ffffffff 00000001", [-1, 1]),
    ("0e 03 00 ffffffff", [0xFFFFFFFF]),
    ("0f 03 00 3ff0000000000000", [1.0]),
    ("10 05 00 01 01 03", [None, True]),
    ("11 03 00 06 03 61 03", EcmaArray(a=True)),
]


@pytest.mark.parametrize(("wire", "value"), VALUES, ids=[wire for wire, _ in VALUES])
def test_values_are_read(wire: str, value: Any) -> None:
    decoded = decode(wire)
    assert decoded == value
    assert type(decoded) is type(value)


@pytest.mark.parametrize(("wire", "_value"), VALUES, ids=[wire for wire, _ in VALUES])
def test_every_cut_is_refused(wire: str, _value: Any) -> None:
    data = bytes.fromhex(wire)
    for end in range(len(data)):
        assert refused(data[:end].hex()) == "amf_truncated"


def test_c47_values_stand_behind_marker_11_and_the_switch_does_not_stick() -> None:
    wire = bytes.fromhex("11 0a 0b 01 03 61 02 01 05 11 06 00")
    assert decode_all(wire, LIMITS) == [{"a": False}, None, "a"]


def test_strings_are_referred_to_by_number_and_the_empty_one_never() -> None:
    assert decode("09 09 01 06 01 06 03 61 06 03 62 06 02") == ["", "a", "b", "b"]


def test_objects_and_arrays_share_a_table() -> None:
    assert decode("09 07 01 09 01 01 0a 0b 01 01 0a 04") == [[], {}, {}]


def test_objects_of_one_class_share_its_traits() -> None:
    first, second = decode("09 05 01 0a 13 03 43 03 61 02 0a 01 03")
    assert (first, first.class_name) == ({"a": False}, "C")
    assert (second, second.class_name) == ({"a": True}, "C")


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        ("12", "amf_bad_marker"),
        ("06 00", "amf_bad_reference"),
        ("09 00", "amf_bad_reference"),
        ("0a 01", "amf_bad_reference"),
        ("09 03 01 09 00", "amf_cyclic"),
        ("0a 07 01", "amf_externalizable"),
        ("11 03 00 04 01 03", "amf_dictionary_key"),
        ("09 ffffffff 01", "amf_truncated"),
        ("0d ffffffff 00", "amf_too_many_values"),
        ("0a ffffffe3 01", "amf_too_many_values"),
        ("06 bfffffff", "amf_string_too_long"),
        ("0c bfffffff", "amf_string_too_long"),
    ],
)
def test_c47_broken_values_are_refused_cleanly(wire: str, reason: str) -> None:
    assert refused(wire) == reason


def test_depth_is_bounded() -> None:
    assert decode("09 03 01" * 16 + "01")
    assert refused("09 03 01" * 17 + "01") == "amf_too_deep"


def test_references_cost_what_they_stand_for() -> None:
    array = "09 81 01 01" + "01" * 64  # 64 nulls in an array …
    many = "0902" * 70  # … referred to 70 times
    wire = "09 81 0f 01" + array + many
    assert refused(wire) == "amf_too_many_values"
    text = RtmpLimits(max_command_bytes=100)
    assert refused("09 07 01 06 65" + "61" * 50 + "0600 0600", text) == "amf_too_much_text"
    instance = "0a 13 01 67" + "61" * 51 + "01"  # an object with one long name …
    assert refused("09 05 01" + instance + "0a 01 01", text) == "amf_too_much_text"  # … and another


def test_a_name_that_amf0_could_not_carry_is_refused() -> None:
    name = "888001" + "61" * 0x10000  # U29 of 0x10000 << 1 | 1
    assert refused("09 01" + name) == "amf_string_too_long"


@pytest.mark.parametrize("size", [0, 1, 63, 64, 8191, 8192, 65_536])
def test_byte_arrays_are_written(size: int) -> None:
    assert decode(encode_byte_array(bytes(size)).hex()) == bytes(size)


def test_byte_arrays_of_a_megabyte_and_more_have_a_four_byte_length() -> None:
    assert encode_byte_array(bytes(1 << 20))[:5] == bytes.fromhex("0c 80c08001")
