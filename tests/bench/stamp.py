"""A time in each picture, so that latency is measured by content.

A stamp is an SEI message in front of a picture [H.264 D.2.7, user data unregistered]: decoders
skip it, and a player on the same machine reads from it when the picture was sent, whichever way
it came, through whichever server, and whichever process plays.
"""

import time
from typing import Final

_AVC_HEADER_BYTES: Final = 5
_SEI: Final = b"\x06\x05\x20headwater-stamp:"  # NAL type 6, payload type 5, 32 bytes, "UUID"
STAMP_DIGITS: Final = 16  # hexadecimal: needs no emulation prevention
_STAMP_TAIL: Final = b"\x80"
_STAMP_HEAD: Final = (len(_SEI) + STAMP_DIGITS + 1).to_bytes(4, "big") + _SEI
DIGITS_AT: Final = _AVC_HEADER_BYTES + len(_STAMP_HEAD)
_STAMP_END: Final = DIGITS_AT + STAMP_DIGITS + len(_STAMP_TAIL)


def stamp(payload: bytes, digits: bytes | None = None) -> bytes:
    """Return an AVC picture with the present time in it, or with other digits in its place."""
    digits = now_digits() if digits is None else digits
    return b"".join(
        (payload[:_AVC_HEADER_BYTES], _STAMP_HEAD, digits, _STAMP_TAIL, payload[_AVC_HEADER_BYTES:])
    )


def now_digits() -> bytes:
    """Return the present time as it stands in a stamp."""
    return b"%016x" % time.monotonic_ns()


def unstamp(payload: bytes) -> tuple[int | None, bytes]:
    """Return when a body was sent, on the machine's monotonic clock in ns, and it as it was."""
    if payload[_AVC_HEADER_BYTES:DIGITS_AT] != _STAMP_HEAD:
        return None, payload
    sent_ns = int(payload[DIGITS_AT : _STAMP_END - len(_STAMP_TAIL)], 16)
    return sent_ns, payload[:_AVC_HEADER_BYTES] + payload[_STAMP_END:]
