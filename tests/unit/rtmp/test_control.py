import pytest

from common.rtmp.control import (
    BandwidthLimit,
    UserControlEvent,
    decode_peer_bandwidth,
    decode_u32,
    decode_user_control,
    encode_buffer_length,
    encode_peer_bandwidth,
    encode_u32,
    encode_user_control,
)
from common.rtmp.message import UserControl


@pytest.mark.parametrize(
    ("value", "payload"),
    [(0, "00000000"), (4096, "00001000"), (0xFFFFFFFF, "ffffffff"), (0x1_0000_0005, "00000005")],
)
def test_numbers_are_32_bits(value: int, payload: str) -> None:
    assert encode_u32(value) == bytes.fromhex(payload)
    assert decode_u32(bytes.fromhex(payload)) == value & 0xFFFFFFFF


@pytest.mark.parametrize("payload", [b"", b"\x00\x00\x10"])
def test_short_bodies_are_none(payload: bytes) -> None:
    assert decode_u32(payload) is None
    assert decode_peer_bandwidth(payload) is None
    assert decode_user_control(payload) is None
    assert decode_user_control(b"\x00\x03" + payload) is None


def test_longer_bodies_are_read_as_far_as_they_are_known() -> None:
    assert decode_u32(b"\x00\x00\x10\x00more") == 4096
    assert decode_user_control(b"\x00\x06\x00\x00\x00\x05more") == UserControlEvent(6, 5)


def test_peer_bandwidth() -> None:
    assert encode_peer_bandwidth(2_500_000) == bytes.fromhex("002625a002")
    assert encode_peer_bandwidth(1, BandwidthLimit.HARD) == bytes.fromhex("0000000100")
    assert decode_peer_bandwidth(bytes.fromhex("002625a002")) == 2_500_000
    assert decode_peer_bandwidth(bytes.fromhex("002625a0")) == 2_500_000  # librtmp accepts it too


@pytest.mark.parametrize("event", [0, 1, 2, 4, 6, 7, 31, 32, 0xFFFF])
def test_c36_c41_events_come_back_known_or_not(event: int) -> None:
    payload = encode_user_control(event, 0xDEADBEEF)
    assert decode_user_control(payload) == UserControlEvent(event, 0xDEADBEEF)


def test_buffer_length() -> None:
    payload = encode_buffer_length(1, 3000)
    assert payload == bytes.fromhex("0003 00000001 00000bb8")
    assert decode_user_control(payload) == UserControlEvent(UserControl.SET_BUFFER_LENGTH, 1, 3000)
    assert decode_user_control(payload[:6]) == UserControlEvent(3, 1)
