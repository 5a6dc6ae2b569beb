"""What both cores do alike, tried on the server's."""

import struct
from itertools import pairwise

import pytest

from common.rtmp import control
from common.rtmp.connection import MAX_UNWANTED_MESSAGES, data_body
from common.rtmp.events import Closed
from common.rtmp.flow import MIN_ACK_EVERY_BYTES
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message, MessageType
from tests.support.wire import WireClient, command, message

PING_REQUEST = b"\x00\x06\x01\x02\x03\x04"


def closed_reason(client: WireClient) -> str:
    closed = client.events[-1]
    assert isinstance(closed, Closed)
    return closed.reason


def announce_window(window: int) -> bytes:
    return message(MessageType.WINDOW_ACK_SIZE, control.encode_u32(window), csid=2)


# control messages


@pytest.mark.parametrize("csid", [2, 3, 4, 5, 6])
def test_c33_c41_ping_is_answered_on_any_chunk_stream(csid: int) -> None:
    client = WireClient().connect().send(message(4, PING_REQUEST, csid=csid))
    (pong,) = client.messages()
    assert (pong.type_id, pong.stream_id) == (MessageType.USER_CONTROL, 0)
    assert pong.payload == b"\x00\x07\x01\x02\x03\x04"


SKIPPED = [
    (4, b"\x00\x03\0\0\0\1\0\0\x0b\xb8"),  # SetBufferLength
    (4, b"\x00\x1b" + bytes(42)),  # SWF verification response
    (4, b"\x01\x00\0\0\0\0"),  # an event that nobody knows
    (4, b"\x00"),
    (4, b""),
    (3, b"\0\0\0\1"),
    (3, b""),
    (5, b"\0\0"),
    (6, b"\0"),
    (7, b"edge"),
    (16, b"shared"),
    (19, b"object"),
    (99, b"unknown"),
    (0, b""),
]


@pytest.mark.parametrize(("type_id", "body"), SKIPPED)
def test_c36_unknown_and_short_messages_are_skipped(type_id: int, body: bytes) -> None:
    client = WireClient().connect().send(message(type_id, body, csid=2))
    assert client.messages() == []
    assert client.events == []


@pytest.mark.parametrize("limit_type", [b"", b"\x00", b"\x02"])
def test_set_peer_bandwidth_is_answered_with_a_window(limit_type: bytes) -> None:
    client = WireClient().connect().send(message(6, b"\0\x26\x25\xa0" + limit_type, csid=2))
    assert client.messages() == [Message(5, 0, 0, b"\0\x26\x25\xa0")]


def test_a_ping_flood_closes() -> None:
    client = WireClient(RtmpLimits(commands_per_s=10.0, command_burst=10)).connect()
    for _ in range(10):
        client.send(message(4, PING_REQUEST, csid=2))
    assert closed_reason(client) == "command_flood"


def test_acknowledgements_are_no_flood() -> None:
    client = WireClient(RtmpLimits(commands_per_s=1.0, command_burst=10)).connect()
    client.send(message(3, bytes(4), csid=2) * 1000)
    assert not client.server.closed


# acknowledgements


def test_c39_acks_come_at_half_of_the_clients_window() -> None:
    client = WireClient().publish().send(announce_window(400_000))
    video = message(9, bytes(10_000), stream_id=1, chunk_size=128)
    acks = []
    for _ in range(100):
        client.send(video)
        acks += [int.from_bytes(one.payload, "big") for one in client.messages()]
    assert len(acks) == 5  # of about 1 MB
    assert all(200_000 <= b - a < 220_000 for a, b in pairwise([0, *acks]))


def test_c39_acks_come_without_any_window() -> None:
    client = WireClient().publish()
    for _ in range(300):
        client.send(message(9, bytes(10_000), stream_id=1))
    (ack,) = client.messages()
    assert ack.type_id == MessageType.ACKNOWLEDGEMENT


def test_c39_the_counter_wraps_at_4_gb_and_does_not_stop() -> None:
    client = WireClient().publish()
    client.server.bytes_received = 2**32 - 1000
    client.send(message(8, b"a", stream_id=1))
    client.messages()
    client.server.bytes_received = 2**32 + 3_000_000
    client.send(message(8, b"a", stream_id=1))
    (ack,) = client.messages()
    assert int.from_bytes(ack.payload, "big") == client.server.bytes_received - 2**32


def test_c40_a_window_of_1_causes_no_flood() -> None:
    client = WireClient().publish().send(announce_window(1))
    for _ in range(1000):
        client.send(message(8, b"abc", stream_id=1))
    assert client.messages() == []
    client.send(message(9, bytes(20 * MIN_ACK_EVERY_BYTES), stream_id=1))
    assert len(client.messages()) == 1  # one read, one ack


# media


@pytest.mark.parametrize("type_id", [8, 9, 15, 18, 22])
def test_media_without_a_publish_is_dropped_and_bounded(type_id: int) -> None:
    client = WireClient().connect()
    client.send(message(type_id, b"\x02\x00\x01a") * MAX_UNWANTED_MESSAGES)
    assert client.events == []
    assert client.server.dropped_messages == MAX_UNWANTED_MESSAGES
    client.send(message(type_id, b"\x02\x00\x01a"))
    assert closed_reason(client) == "unwanted_media"


def test_media_from_a_player_is_dropped() -> None:
    client = WireClient().play().send(message(9, b"\x17\x01", stream_id=1))
    assert client.events == []
    assert client.server.dropped_messages == 1


def test_media_ahead_of_the_publish_answer_is_dropped_and_forgiven() -> None:
    client = WireClient().connect()
    client.accepting = False
    client.call("publish", 0, None, "name", stream_id=1)
    client.send(message(9, b"early", stream_id=1) * (MAX_UNWANTED_MESSAGES - 1))
    client.server.accept_publish(1)
    client.events.clear()
    client.send(message(9, b"in time", stream_id=1))
    assert client.events == [Message(9, 0, 1, b"in time")]


DATA = [
    (18, b"\x02\x00\x01a\x05", b"\x02\x00\x01a\x05"),
    (15, b"\x00\x02\x00\x01a\x05", b"\x02\x00\x01a\x05"),
    (15, b"\x02\x00\x01a\x05", b"\x02\x00\x01a\x05"),  # without the format byte
    (18, b"\x00\x01\x02\x03", None),  # a timecode track of ffmpeg (SRS #3803)
    (18, b"\x0c\x00\x00\x00\x01a", None),  # a long string stops ffmpeg's players, too
    (18, b"\x05", None),
    (15, b"\x00", None),
    (15, b"", None),
    (18, b"\x02\x00\x08onStatus\x05", None),  # conformance 71
    (18, b"\x02\x00\x11|RtmpSampleAccess\x01\x01\x01\x01", None),
]


@pytest.mark.parametrize(("type_id", "body", "passed_on"), DATA)
def test_c69_only_data_that_begins_with_a_string_is_passed_on(
    type_id: int, body: bytes, passed_on: bytes | None
) -> None:
    assert data_body(Message(type_id, 0, 1, body)) == passed_on
    client = WireClient().publish().send(message(type_id, body, stream_id=1))
    expected = [] if passed_on is None else [Message(18, 0, 1, passed_on)]
    assert client.events == expected
    assert client.server.dropped_messages == (passed_on is None)


def test_c69_a_timecode_track_never_closes_the_connection() -> None:
    client = WireClient().publish()
    client.send(message(18, b"\0\0\0\1", stream_id=1) * (2 * MAX_UNWANTED_MESSAGES))
    assert not client.server.closed


def tag(type_id: int, timestamp: int, body: bytes) -> bytes:
    head = struct.pack(
        ">B3s3sB3x",
        type_id,
        len(body).to_bytes(3, "big"),
        (timestamp & 0xFFFFFF).to_bytes(3, "big"),
        timestamp >> 24,
    )
    return head + body + struct.pack(">I", 11 + len(body))


def test_c38_an_aggregate_of_a_publisher_is_expanded() -> None:
    body = tag(8, 500, b"\xaf\x01a") + tag(18, 505, b"\x02\x00\x01a") + tag(9, 540, b"\x27\x01b")
    client = WireClient().publish().send(message(22, body, timestamp=1000, stream_id=1))
    assert client.events == [
        Message(8, 1000, 1, b"\xaf\x01a"),
        Message(18, 1005, 1, b"\x02\x00\x01a"),
        Message(9, 1040, 1, b"\x27\x01b"),
    ]


def test_c38_a_nested_aggregate_closes() -> None:
    client = WireClient().publish()
    client.send(message(22, tag(22, 0, tag(8, 0, b"a")), stream_id=1))
    assert client.server.closed


# limits of the chunk layer, seen from the connection


def test_c34_a_message_over_the_cap_closes_at_its_header() -> None:
    client = WireClient(RtmpLimits(max_message_bytes=100_000)).publish()
    client.send(message(9, bytes(100_001), stream_id=1)[:12])
    assert closed_reason(client) == "message_too_large"


def test_c34_commands_have_a_cap_of_their_own() -> None:
    client = WireClient().connect()
    client.send(message(20, bytes(256 * 1024 + 1), csid=3)[:12])
    assert closed_reason(client) == "message_too_large"


def test_a_command_that_is_no_amf_closes() -> None:
    client = WireClient().connect().send(message(20, b"\xff\xff\xff", csid=3))
    assert client.server.closed


@pytest.mark.interpreted  # compiled code calls its decoder directly
@pytest.mark.parametrize(
    "error",
    [struct.error("x"), IndexError(), UnicodeError(), ValueError(), RecursionError()],
    ids=lambda error: type(error).__name__,
)
def test_an_error_that_slips_through_a_parser_closes(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise error

    client = WireClient().connect()
    monkeypatch.setattr("common.rtmp.connection.decode_command", broken)
    client.call("createStream", 2, None)
    assert closed_reason(client) == "malformed"


def test_messages_behind_a_refusal_are_not_looked_at() -> None:
    client = WireClient().connect()
    client.send(command("publish", 2, None, 5) + command("createStream", 3, None))
    assert [one.name for one in client.replies()] == ["onStatus"]
    assert len(client.events) == 1


def test_counters_count() -> None:
    client = WireClient().publish()
    before = client.server.bytes_received, client.server.messages_received
    data = message(9, b"\x17\x01", stream_id=1)
    client.send(data)
    assert client.server.bytes_received == before[0] + len(data)
    assert client.server.messages_received == before[1] + 1
