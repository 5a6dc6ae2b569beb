import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import HandshakeError
from common.rtmp.handshake import ClientHandshake, ServerHandshake

REASONS = "not_rtmp_tls|not_rtmp_http|proxy_untrusted|rtmpe|bad_version"
CUTS = st.lists(st.integers(1, 4000), min_size=1, max_size=6)


def deliver(side: ServerHandshake | ClientHandshake, data: bytes, cuts: list[int]) -> bytes:
    """Give ``data`` to ``side`` in pieces; return all that it wants to send."""
    sent = b""
    at = 0
    turn = 0
    while at < len(data) and not side.complete:
        size = cuts[turn % len(cuts)]
        sent += side.receive(data[at : at + size])
        at += size
        turn += 1
    side.surplus += data[at:] if side.complete else b""
    return sent


@given(CUTS, CUTS, st.booleans(), st.binary(max_size=50), st.randoms(use_true_random=False))
def test_both_sides_meet_in_any_split(
    to_server: list[int], to_client: list[int], digest: bool, tail: bytes, rng: random.Random
) -> None:
    client = ClientHandshake(rng.randbytes, digest=digest)
    server = ServerHandshake(rng.randbytes)
    first = deliver(server, client.start(), to_server)
    c2 = deliver(client, first + tail, to_client)
    assert client.complete
    assert client.surplus == tail
    assert deliver(server, c2 + tail, to_server) == b""
    assert server.complete
    assert server.surplus == tail


@given(st.binary(min_size=1, max_size=20), CUTS)
def test_any_first_bytes_are_taken_or_refused(data: bytes, cuts: list[int]) -> None:
    server = ServerHandshake(random.Random(0).randbytes)
    if data[0] == 3:
        assert deliver(server, data, cuts) == b""
    else:
        with pytest.raises(HandshakeError, match=REASONS):
            deliver(server, data, cuts)
