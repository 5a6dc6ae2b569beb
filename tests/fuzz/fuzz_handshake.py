"""The handshake, as server and as client."""

from common.errors import HandshakeError
from common.rtmp.handshake import ClientHandshake, ServerHandshake


def target(data: bytes) -> None:
    """Give ``data`` behind its first byte to both sides, in pieces that this byte decides."""
    step, wire = (1 + data[0] * 8, data[1:]) if data else (1, b"")
    for side in (ServerHandshake(bytes), ClientHandshake(bytes, digest=True)):
        sent = b""
        taken = 0
        try:
            while taken < len(wire) and not side.complete:
                sent += side.receive(wire[taken : taken + step])
                taken += step
        except HandshakeError:
            continue
        expected = 3073 if isinstance(side, ServerHandshake) else 1536
        assert len(sent) == (expected if min(taken, len(wire)) >= 1537 else 0)
        assert side.complete == (min(taken, len(wire)) >= 3073)
        assert side.surplus == wire[3073:taken]
