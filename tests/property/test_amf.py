from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from common.errors import AmfError
from common.rtmp import amf0
from common.rtmp.command import decode_command, decode_data, encode_command
from common.rtmp.limits import RtmpLimits

LIMITS = RtmpLimits()

# As a decoder makes it: bytes that are not UTF-8 are lone surrogates.
TEXT = st.one_of(
    st.text(max_size=20), st.binary(max_size=20).map(lambda b: b.decode("utf-8", "surrogateescape"))
)
LEAVES = st.one_of(
    st.none(),
    st.just(amf0.UNDEFINED),
    st.booleans(),
    st.floats(allow_nan=False),
    TEXT,
    TEXT.map(amf0.XmlDocument),
    st.binary(max_size=20),
    st.builds(amf0.Date, st.floats(allow_nan=False), st.integers(-0x8000, 0x7FFF)),
)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    properties = st.dictionaries(TEXT, inner, max_size=4)
    return st.one_of(
        st.lists(inner, max_size=4),
        properties,
        properties.map(amf0.EcmaArray),
        st.builds(amf0.TypedObject, TEXT, properties),
    )


VALUES = st.recursive(LEAVES, containers, max_leaves=20)


def same(one: Any, other: Any) -> bool:
    """Compare with types, which == between dicts and their kinds does not."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return (
            list(one) == list(other)
            and all(same(one[name], other[name]) for name in one)
            and getattr(one, "class_name", None) == getattr(other, "class_name", None)
        )
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@given(st.lists(VALUES, max_size=4))
def test_values_come_back_with_their_types(values: list[Any]) -> None:
    wire = amf0.encode(*values)
    decoded = amf0.decode_all(wire, RtmpLimits(max_amf_depth=32))
    assert same(decoded, values)
    assert amf0.encode(*decoded) == wire


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=12),
            st.sampled_from(
                [b"\x03", b"\x08\x00\x00\x00\x01", b"\x0a\x00\x00\x00\x02", b"\x00\x00\x09"]
            ),
            st.sampled_from(
                [b"\x07\x00\x00", b"\x11\x0a\x0b\x01", b"\x11\x09\x03\x01", b"\x06\x01"]
            ),
            st.sampled_from([b"\x00\x01a", b"\x05", b"\x02\x00\x01b"]),
        ),
        max_size=30,
    ).map(b"".join)
)
def test_rubbish_gives_values_that_can_be_sent_again_or_an_amf_error(rubbish: bytes) -> None:
    try:
        values = amf0.decode_all(rubbish, LIMITS)
    except AmfError:
        return
    again = amf0.encode(*values)
    assert amf0.encode(*amf0.decode_all(again, LIMITS)) == again


@given(TEXT, st.floats(allow_nan=False), st.lists(LEAVES, max_size=4), st.sampled_from([17, 20]))
def test_commands_come_back(
    name: str, transaction_id: float, values: list[Any], message_type: int
) -> None:
    payload = encode_command(name, transaction_id, *values)
    if message_type == 17:
        payload = b"\x00" + payload
    command = decode_command(message_type, payload, LIMITS)
    assert (command.name, command.transaction_id) == (name, transaction_id)
    assert [command.command_object, *command.arguments] == (values or [None])


@given(st.binary(max_size=100), st.sampled_from([15, 17, 18, 20]))
def test_rubbish_is_an_amf_error_at_most(payload: bytes, message_type: int) -> None:
    for decode in (decode_command, decode_data):
        with suppress(AmfError):
            decode(message_type, payload, LIMITS)
