import pytest

from common.rtmp import digest


def test_keys_are_the_known_ones() -> None:
    assert (len(digest.CLIENT_KEY), len(digest.SERVER_KEY)) == (62, 68)
    assert (len(digest.CLIENT_DIGEST_KEY), len(digest.SERVER_DIGEST_KEY)) == (30, 36)


@pytest.mark.parametrize(
    ("layout", "offset_bytes", "position"),
    [
        (digest.DIGEST_FIRST, b"\x00\x00\x00\x00", 12),
        (digest.DIGEST_FIRST, b"\x00\x00\x02\x01", 15),
        (digest.DIGEST_FIRST, b"\xff\xff\xff\xff", 12 + 1020 - 728),
        (digest.KEY_FIRST, b"\x00\x00\x00\x00", 776),
        (digest.KEY_FIRST, b"\xff\xff\xd9\x00", 776 + 727),
    ],
)
def test_the_offset_is_a_sum_modulo_728(layout: int, offset_bytes: bytes, position: int) -> None:
    plain = bytearray(1536)
    plain[layout : layout + 4] = offset_bytes
    packet = digest.insert_digest(bytes(plain), layout, b"key")
    assert packet[:position] == plain[:position]
    assert packet[position : position + 32] != plain[position : position + 32]
    assert packet[position + 32 :] == plain[position + 32 :]
    assert digest.find_digest(packet, b"key") == (layout, packet[position : position + 32])
    assert digest.find_digest(packet, b"another key") is None
    assert len(packet) == 1536
