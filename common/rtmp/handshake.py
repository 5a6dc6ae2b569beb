"""The handshake, from both sides [RTMP 1.0 §5.2], simple or with a digest (see `digest`).

The contents of C2 and S2 are never checked: nobody needs it, and clients exist that send rubbish.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from common.errors import HandshakeError
from common.rtmp.digest import (
    CLIENT_DIGEST_KEY,
    CLIENT_KEY,
    DIGEST_FIRST,
    DIGEST_SIZE,
    PACKET_SIZE,
    SERVER_DIGEST_KEY,
    SERVER_KEY,
    find_digest,
    insert_digest,
    sign_answer,
)

_VERSION: Final = b"\x03"
_TLS_RECORD: Final = 0x16
_RTMPE_VERSIONS: Final = (6, 8, 9)
_PROXY_HEADERS: Final = (b"PROXY ", b"\r")
"""How the PROXY protocol begins, as text and binary. Where it is expected, it is taken before."""

_NO_DIGEST: Final = bytes(4)
"""In the version field of C1 or S1. ffmpeg's player looks for a digest in any S1 whose version
begins with 3 or more, and gives up when there is none."""

_SERVER_DIGEST_VERSION: Final = bytes((4, 5, 0, 1))
_CLIENT_DIGEST_VERSION: Final = bytes((9, 0, 124, 2))  # the Flash Player that ffmpeg claims to be
_TIME: Final = bytes(4)  # nobody uses it, and this code has no clock


class _Handshake(ABC):
    """What both sides share: a version byte, the first packet, an answer to it, the second."""

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self.complete = False
        self.surplus = b""
        self._random_bytes = random_bytes
        self._buffer = bytearray()
        self._answered = False

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the peer; return what to send, once there is something (S0 S1 S2; C2).

        Raises HandshakeError with the reasons ``not_rtmp_tls``, ``not_rtmp_http``, ``rtmpe``,
        ``proxy_untrusted`` and ``bad_version``.
        """
        self._buffer += data
        answer = b""
        if not self._answered:
            _check_version(self._buffer)
            if len(self._buffer) > PACKET_SIZE:
                answer = self._answer(bytes(self._buffer[1 : 1 + PACKET_SIZE]))
                del self._buffer[: 1 + PACKET_SIZE]
                self._answered = True
        if self._answered and len(self._buffer) >= PACKET_SIZE:
            self.surplus = bytes(self._buffer[PACKET_SIZE:])
            self.complete = True
            self._buffer.clear()
        return answer

    @abstractmethod
    def _answer(self, packet: bytes) -> bytes:
        """Return what to send now that C1 or S1 is there."""


class ServerHandshake(_Handshake):
    """The server's side: takes C0, C1, C2 in any split, gives S0, S1, S2.

    ``random_bytes`` is ``os.urandom`` or a test's replacement. Once ``complete``, ``surplus``
    holds the bytes that came after C2 (the first chunks), and ``receive`` must not be called any
    more.
    """

    def _answer(self, packet: bytes) -> bytes:
        """Return S0, S1 and S2, with digests if C1 has one."""
        random_part = self._random_bytes(PACKET_SIZE - 8)
        found = find_digest(packet, CLIENT_DIGEST_KEY) if packet[4:8] != _NO_DIGEST else None
        if found is None:
            # S2 must be C1 to the byte: Streamlabs compares them.
            return _VERSION + _TIME + _NO_DIGEST + random_part + packet
        layout, c1_digest = found
        s1 = insert_digest(_TIME + _SERVER_DIGEST_VERSION + random_part, layout, SERVER_DIGEST_KEY)
        s2 = sign_answer(self._random_bytes(PACKET_SIZE - DIGEST_SIZE), SERVER_KEY, c1_digest)
        return _VERSION + s1 + s2


class ClientHandshake(_Handshake):
    """The client's side: gives C0 C1 with ``start``, then takes S0, S1, S2 and gives C2.

    With ``digest`` C1 carries a digest, which FMS and its heirs want from players. Otherwise
    as `ServerHandshake`.
    """

    def __init__(self, random_bytes: Callable[[int], bytes], *, digest: bool = False) -> None:
        super().__init__(random_bytes)
        self._digest = digest

    def start(self) -> bytes:
        """Return C0 and C1, to be sent first."""
        random_part = self._random_bytes(PACKET_SIZE - 8)
        if not self._digest:
            return _VERSION + _TIME + _NO_DIGEST + random_part
        # FMS takes a digest from a client in this layout only.
        c1 = _TIME + _CLIENT_DIGEST_VERSION + random_part
        return _VERSION + insert_digest(c1, DIGEST_FIRST, CLIENT_DIGEST_KEY)

    def _answer(self, packet: bytes) -> bytes:
        """Return C2: signed if we began with a digest and S1 has one too, else an echo of S1."""
        found = find_digest(packet, SERVER_DIGEST_KEY) if self._digest else None
        if found is None:
            return packet
        return sign_answer(self._random_bytes(PACKET_SIZE - DIGEST_SIZE), CLIENT_KEY, found[1])


def _check_version(received: bytearray) -> None:
    """Refuse a first byte that is not RTMP's, with a reason that tells the operator what it is."""
    if not received or received[:1] == _VERSION:
        return
    first = received[0]
    if received.startswith(_PROXY_HEADERS):
        raise HandshakeError(
            "proxy_untrusted",
            "a PROXY protocol header, which is taken from the addresses in rtmp.proxy_trusted only",
        )
    if first == _TLS_RECORD:
        raise HandshakeError(
            "not_rtmp_tls", "the peer speaks TLS: use rtmp:// here, or the TLS port for rtmps://"
        )
    if chr(first).isascii() and chr(first).isalpha():
        raise HandshakeError(
            "not_rtmp_http", "the peer speaks HTTP (or another text protocol) on an RTMP port"
        )
    if first in _RTMPE_VERSIONS:
        raise HandshakeError(
            "rtmpe", f"the peer wants RTMPE (version {first}), which is broken: use rtmps://"
        )
    raise HandshakeError("bad_version", f"the first byte is {first:#04x}, not 0x03")
