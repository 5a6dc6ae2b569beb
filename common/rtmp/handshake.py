"""The handshake, from both sides [RTMP 1.0 §5.2]."""

from collections.abc import Callable


class ServerHandshake:
    """The server's side: takes C0, C1, C2 in any split, gives S0, S1, S2.

    ``random_bytes`` is ``os.urandom`` or a test's replacement. Once ``complete``, ``surplus``
    holds the bytes that came after C2 (the first chunks), and ``receive`` must not be called any
    more.
    """

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self.complete = False
        self.surplus = b""

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the client; return what to send (S0 S1 S2 at once, or nothing).

        Raises HandshakeError with the reasons ``not_rtmp_tls``, ``not_rtmp_http``, ``rtmpe`` and
        ``bad_version``.
        """
        raise NotImplementedError


class ClientHandshake:
    """The client's side: gives C0 C1 with ``start``, then takes S0, S1, S2 and gives C2.

    With ``digest`` C1 carries a digest, which FMS and its heirs want from players.
    """

    def __init__(self, random_bytes: Callable[[int], bytes], *, digest: bool = False) -> None:
        self.complete = False
        self.surplus = b""

    def start(self) -> bytes:
        """Return C0 and C1, to be sent first."""
        raise NotImplementedError

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the server; return what to send (C2 once S1 is there, or nothing).

        Raises HandshakeError, with the reasons of `ServerHandshake.receive`.
        """
        raise NotImplementedError
