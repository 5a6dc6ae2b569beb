from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.cluster.records import NodeRole, StreamLoad
from common.config.model import Settings
from common.ids import NodeId, StreamKey
from common.supervisor.app import WorkerContext, WorkerStatus
from common.supervisor.messages import (
    MAX_MESSAGE_BYTES,
    VERSION,
    BootFailed,
    ChannelError,
    Configure,
    Decoder,
    Drain,
    Heartbeat,
    Members,
    Message,
    Ready,
    Retire,
    Stop,
    Vitals,
    encode,
)

SECRETIVE = Settings.model_validate(
    {
        "redis": {"url": "redis://:open@host/0", "password": "sesame"},
        "node": {"runtime_dir": "/run/headwater"},
        "publish": {"app_policies": {"live": "reject"}},
    }
)
CONTEXT = WorkerContext(
    settings=SECRETIVE,
    role=NodeRole.EDGE,
    node=NodeId("edge-1"),
    slot=1,
    workers=2,
    rtmp_host="::",
    rtmp_port=1935,
    advertise_host="10.0.0.1",
    runtime_dir=Path("/run/headwater"),
    generation=3,
)
STATUS = WorkerStatus(
    viewers=3,
    egress_bytes=1 << 40,
    directory_ok=False,
    streams={StreamKey("live/ä"): StreamLoad(viewers=3, bitrate_bps=9, codecs=("avc1", "mp4a"))},
)
MESSAGES: list[Message] = [
    Configure(context=CONTEXT),
    Members(slots=frozenset({2, 0})),
    Members(slots=frozenset()),
    Retire(),
    Drain(timeout_s=10.0),
    Stop(),
    Ready(),
    BootFailed(reason="port in use"),
    Heartbeat(status=STATUS, vitals=Vitals(loop_lag_s=0.25, memory_bytes=1 << 33)),
]


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_survives_the_channel(message: Message) -> None:
    assert Decoder().feed(encode(message)) == [message]


def test_secrets_reach_the_worker() -> None:
    [message] = Decoder().feed(encode(Configure(context=CONTEXT)))
    assert isinstance(message, Configure)
    redis = message.context.settings.redis
    assert redis.url.get_secret_value() == "redis://:open@host/0"
    assert redis.password.get_secret_value() == "sesame"


@given(data=st.data())
def test_any_split_of_the_bytes_gives_the_same_messages(data: st.DataObject) -> None:
    wire = b"".join(map(encode, MESSAGES))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=20)))
    decoder = Decoder()
    received = []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        received += decoder.feed(wire[start:end])
    assert received == MESSAGES


def test_one_byte_at_a_time_gives_the_same_messages() -> None:
    decoder = Decoder()
    wire = b"".join(map(encode, MESSAGES))
    assert [each for byte in wire for each in decoder.feed(bytes([byte]))] == MESSAGES


def test_fields_of_a_newer_release_are_ignored() -> None:
    body = msgpack.packb([VERSION, "Drain", {"timeout_s": 1.0, "colour": "red"}])
    assert Decoder().feed(framed(body)) == [Drain(timeout_s=1.0)]


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (msgpack.packb([VERSION + 1, "Stop", {}]), "restart it"),
        (msgpack.packb([VERSION, "Dance", {}]), "unknown kind"),
        (msgpack.packb([VERSION, "Drain", {}]), "timeout_s"),
        (msgpack.packb([VERSION, "Drain", {"timeout_s": "soon"}]), "timeout_s"),
        (msgpack.packb([VERSION, "Stop"]), "not a message"),
        (msgpack.packb(7), "not a message"),
        (b"\xc1", "not a message"),
        (b"\x93\x01", "not a message"),
    ],
)
def test_what_is_no_message_is_refused(body: bytes, complaint: str) -> None:
    with pytest.raises(ChannelError, match=complaint):
        Decoder().feed(framed(body))


def test_a_refusal_does_not_show_values() -> None:
    body = msgpack.packb([VERSION, "Drain", {"timeout_s": "sesame"}])
    with pytest.raises(ChannelError) as caught:
        Decoder().feed(framed(body))
    assert "sesame" not in str(caught.value)


def test_an_oversize_message_is_refused_by_its_length() -> None:
    with pytest.raises(ChannelError, match="at most"):
        Decoder().feed((MAX_MESSAGE_BYTES + 1).to_bytes(4, "big"))


@given(st.binary(max_size=200))
def test_any_bytes_are_accepted_or_refused(data: bytes) -> None:
    try:
        Decoder().feed(data)
        Decoder().feed(framed(data))
    except ChannelError:
        pass
