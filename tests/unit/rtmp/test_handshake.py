import random

import pytest

from common.errors import HandshakeError
from common.rtmp import digest
from common.rtmp.handshake import ClientHandshake, ServerHandshake

RANDOM = random.Random(7).randbytes
SIMPLE_C1 = bytes(8) + RANDOM(1528)


def digest_c1(layout: int) -> bytes:
    packet = bytes(4) + b"\x80\x00\x07\x02" + RANDOM(1528)
    return digest.insert_digest(packet, layout, digest.CLIENT_DIGEST_KEY)


def answer(c1: bytes) -> tuple[bytes, bytes, bytes]:
    """Return S0, S1 and S2."""
    sent = ServerHandshake(RANDOM).receive(b"\x03" + c1)
    assert len(sent) == 1 + 2 * 1536
    return sent[:1], sent[1:1537], sent[1537:]


def test_c1_a_simple_client_gets_its_own_bytes_back() -> None:
    s0, s1, s2 = answer(SIMPLE_C1)
    assert s0 == b"\x03"
    assert s1[4:8] == bytes(4)
    assert s2 == SIMPLE_C1


@pytest.mark.parametrize(
    "layout", [digest.KEY_FIRST, digest.DIGEST_FIRST], ids=["c2 at 776", "c3 at 12"]
)
def test_c2_c3_a_digest_is_answered_in_its_layout(layout: int) -> None:
    c1 = digest_c1(layout)
    found = digest.find_digest(c1, digest.CLIENT_DIGEST_KEY)
    assert found is not None
    assert found[0] == layout
    s0, s1, s2 = answer(c1)
    assert s0 == b"\x03"
    found_in_s1 = digest.find_digest(s1, digest.SERVER_DIGEST_KEY)
    assert found_in_s1 is not None
    assert found_in_s1[0] == layout
    assert s1[4] >= 3  # below it ffmpeg would not check
    assert s2 == digest.sign_answer(s2[:1504], digest.SERVER_KEY, found[1])


def test_c4_a_version_without_a_digest_is_answered_simply() -> None:
    c1 = bytes(4) + b"\x09\x00\x7c\x02" + RANDOM(1528)
    _, s1, s2 = answer(c1)
    assert s1[4:8] == bytes(4)
    assert s2 == c1


def test_a_digest_without_a_version_is_not_looked_for() -> None:
    c1 = digest.insert_digest(SIMPLE_C1, digest.DIGEST_FIRST, digest.CLIENT_DIGEST_KEY)
    assert answer(c1)[2] == c1


@pytest.mark.parametrize("c2", [bytes(1536), b"\xff" * 1536], ids=["zeros", "ones"])
def test_c5_any_c2_will_do(c2: bytes) -> None:
    server = ServerHandshake(RANDOM)
    server.receive(b"\x03" + SIMPLE_C1)
    assert not server.complete
    assert server.receive(c2) == b""
    assert server.complete


@pytest.mark.parametrize("step", [1, 100, 1536, 1537, 5000])
def test_c6_any_split_works_and_nothing_after_c2_is_lost(step: int) -> None:
    sent = b"\x03" + SIMPLE_C1 + bytes(1536) + b"the first chunk"
    server = ServerHandshake(RANDOM)
    answered_after = None
    position = 0
    rest = b""
    while position < len(sent):
        if server.complete:
            rest = sent[position:]
            break
        if server.receive(sent[position : position + step]):
            answered_after = position + step
        position += step
    assert server.complete
    assert server.surplus + rest == b"the first chunk"
    assert answered_after is not None
    assert answered_after - step < 1537 <= answered_after  # no more than C0 C1 is waited for


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (b"\x16\x03\x01", "not_rtmp_tls"),
        (b"GET / HTTP/1.1", "not_rtmp_http"),
        (b"P", "not_rtmp_http"),
        (b"z", "not_rtmp_http"),
        (b"PROXY TCP4 ", "proxy_untrusted"),
        (b"\r\n\r\n\x00\r\nQUIT\n", "proxy_untrusted"),
        (b"\x06", "rtmpe"),
        (b"\x08", "rtmpe"),
        (b"\x09", "rtmpe"),
        (b"\x00", "bad_version"),
        (b"\x02", "bad_version"),
        (b"\x1f", "bad_version"),
        (b"\xf3", "bad_version"),
    ],
)
@pytest.mark.parametrize("side", [ServerHandshake, ClientHandshake])
def test_c7_the_first_byte_tells_what_went_wrong(
    first: bytes, reason: str, side: type[ServerHandshake | ClientHandshake]
) -> None:
    with pytest.raises(HandshakeError) as caught:
        side(RANDOM).receive(first)
    assert caught.value.reason == reason
    assert caught.value.detail


def test_nothing_received_is_nothing_sent() -> None:
    assert ServerHandshake(RANDOM).receive(b"") == b""


@pytest.mark.parametrize("with_digest", [False, True])
@pytest.mark.parametrize("step", [1, 1000, 5000])
def test_client_and_server_meet(with_digest: bool, step: int) -> None:
    client = ClientHandshake(RANDOM, digest=with_digest)
    server = ServerHandshake(RANDOM)
    from_server = server.receive(client.start()) + b"tail"
    c2 = b""
    for at in range(0, len(from_server), step):
        if client.complete:
            client.surplus += from_server[at:]
            break
        c2 += client.receive(from_server[at : at + step])
    assert client.complete
    assert client.surplus == b"tail"
    assert server.receive(c2) == b""
    assert server.complete
    s1 = from_server[1:1537]
    if not with_digest:
        assert c2 == s1
        return
    found = digest.find_digest(s1, digest.SERVER_DIGEST_KEY)
    assert found is not None
    assert c2 == digest.sign_answer(c2[:1504], digest.CLIENT_KEY, found[1])


def test_a_client_with_a_digest_echoes_a_server_without() -> None:
    client = ClientHandshake(RANDOM, digest=True)
    c1 = client.start()[1:]
    assert digest.find_digest(c1, digest.CLIENT_DIGEST_KEY)
    assert client.receive(b"\x03" + SIMPLE_C1 + c1) == SIMPLE_C1
    assert client.complete
