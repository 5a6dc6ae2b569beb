"""The digest handshake's arithmetic.

It is not in the specification; it came with Flash Player 9.0.115, and players based on Flash will
not take H.264 without it. The 1528 bytes behind time and version are two blocks of 764, one of
which hides 32 digest bytes at an offset that four of its bytes add up to. Which block comes first
is not agreed on; peers call the two layouts by conflicting names, so here they are known by where
the digest's block begins.
"""

import hmac
from typing import Final

PACKET_SIZE: Final = 1536
"""C1, C2, S1 and S2."""

DIGEST_SIZE: Final = 32

_SHARED_SECRET: Final = bytes.fromhex(
    "f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae"
)
_CLIENT_NAME: Final = b"Genuine Adobe Flash Player 001"
_SERVER_NAME: Final = b"Genuine Adobe Flash Media Server 001"

CLIENT_KEY: Final = _CLIENT_NAME + _SHARED_SECRET
SERVER_KEY: Final = _SERVER_NAME + _SHARED_SECRET
CLIENT_DIGEST_KEY: Final = _CLIENT_NAME
SERVER_DIGEST_KEY: Final = _SERVER_NAME

KEY_FIRST: Final = 772
DIGEST_FIRST: Final = 8
"""Where the digest's block begins in the two layouts."""

LAYOUTS: Final = (KEY_FIRST, DIGEST_FIRST)
"""In the order to try them: Flash Player prefers the first."""

_OFFSETS: Final = 764 - 4 - DIGEST_SIZE  # places for the digest in its block


def find_digest(packet: bytes, key: bytes) -> tuple[int, bytes] | None:
    """Return the layout of a C1 or S1 and its digest, or None when it has no valid one."""
    for layout in LAYOUTS:
        at = _digest_position(packet, layout)
        digest = packet[at : at + DIGEST_SIZE]
        if hmac.compare_digest(digest, _digest_without(packet, at, key)):
            return layout, digest
    return None


def insert_digest(packet: bytes, layout: int, key: bytes) -> bytes:
    """Return a C1 or S1 with its digest written over the random bytes."""
    at = _digest_position(packet, layout)
    return packet[:at] + _digest_without(packet, at, key) + packet[at + DIGEST_SIZE :]


def sign_answer(random_part: bytes, key: bytes, peer_digest: bytes) -> bytes:
    """Return a C2 or S2: 1504 random bytes and a signature that only the peer's digest allows."""
    answer_key = hmac.digest(key, peer_digest, "sha256")
    return random_part + hmac.digest(answer_key, random_part, "sha256")


def _digest_position(packet: bytes, layout: int) -> int:
    return layout + 4 + sum(packet[layout : layout + 4]) % _OFFSETS


def _digest_without(packet: bytes, at: int, key: bytes) -> bytes:
    return hmac.digest(key, packet[:at] + packet[at + DIGEST_SIZE :], "sha256")
