"""Control payloads: any body is a value or None."""

from common.rtmp.control import decode_peer_bandwidth, decode_u32, decode_user_control


def target(data: bytes) -> None:
    """Decode ``data`` in each way."""
    assert (decode_u32(data) is None) == (len(data) < 4)
    assert decode_peer_bandwidth(data) == decode_u32(data)
    assert (decode_user_control(data) is None) == (len(data) < 6)
