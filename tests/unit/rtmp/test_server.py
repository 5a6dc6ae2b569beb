"""Answers, states and deadlines of the server core; commands are in test_server_commands.py."""

import pytest

from common.errors import UsageError
from common.rtmp import control
from common.rtmp.events import (
    Closed,
    ConnectRequested,
    PlayRequested,
    PlayStopped,
    PublishRequested,
    PublishStopped,
    TrackChanged,
)
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message, MessageType, UserControl
from common.rtmp.server import MAX_HELD_COMMANDS
from common.rtmp.server_core import PROGRESS_WINDOW_S
from tests.support.wire import C0C1, C2, PLAY_OBJECT, WireClient, command, message


def user_control(event: int, value: int) -> bytes:
    return message(MessageType.USER_CONTROL, control.encode_user_control(event, value), csid=2)


def closed_reason(client: WireClient) -> str:
    closed = client.events[-1]
    assert isinstance(closed, Closed)
    return closed.reason


# connect


def test_c31_the_greeting_is_window_bandwidth_chunk_size_result() -> None:
    client = WireClient().shake_hands()
    client.received = b""
    client._skip = 0
    client.call("connect", 1, PLAY_OBJECT)
    greeting = b"".join(
        [
            message(5, control.encode_u32(2_500_000), csid=2),
            message(6, control.encode_peer_bandwidth(2_500_000), csid=2),
            message(1, control.encode_u32(65_536), csid=2),
        ]
    )
    assert client.received.startswith(greeting)
    assert [one.type_id for one in client.messages()] == [5, 6, 20]


@pytest.mark.parametrize("transaction_id", [1.0, 7.0, 1.5])
def test_c49_connect_result_echoes_the_transaction_id_and_has_two_objects(
    transaction_id: float,
) -> None:
    client = WireClient().shake_hands().call("connect", transaction_id, PLAY_OBJECT)
    (reply,) = client.replies()
    assert (reply.name, reply.transaction_id) == ("_result", transaction_id)
    properties, info = reply.values
    assert properties["fmsVer"].startswith("FMS/")
    assert properties["capabilities"] == 31
    assert info["level"] == "status"
    assert info["code"] == "NetConnection.Connect.Success"
    assert info["description"]
    for one in (properties, info):
        assert one["capsEx"] == 15
        assert one["videoFourCcInfoMap"] == one["audioFourCcInfoMap"] == {"*": 4}


@pytest.mark.parametrize(
    ("sent", "echoed"), [(None, 0), (0, 0), (3, 3), ("three", 0), (float("nan"), 0), (True, 0)]
)
def test_c50_object_encoding_is_echoed(sent: object, echoed: float) -> None:
    client = WireClient().shake_hands()
    client.call("connect", 1, PLAY_OBJECT | {"objectEncoding": sent})
    assert client.replies()[0].values[1]["objectEncoding"] == echoed


CONNECTS = [
    # (what the client sends, app, tcUrl)
    ({"app": "live", "tcUrl": "rtmp://host/live"}, "live", "rtmp://host/live"),
    ({"app": "live", "tcUrl": "'rtmp://host/live'"}, "live", "rtmp://host/live"),  # Neko
    ({"app": "live/", "tcUrl": "rtmp://host/live/"}, "live/", "rtmp://host/live/"),  # Ubiquiti
    ({"app": "live", "tcurl": "rtmp://host/live"}, "live", "rtmp://host/live"),
    ({"app": "live"}, "live", ""),
    ({"app": "live?token=a"}, "live?token=a", ""),
    ({"app": 5, "tcUrl": None}, "", ""),
    (None, "", ""),
    ("text", "", ""),
]


@pytest.mark.parametrize(("sent", "app", "tc_url"), CONNECTS)
def test_c48_connect_takes_what_clients_write(sent: object, app: str, tc_url: str) -> None:
    client = WireClient(accepting=False).shake_hands().call("connect", 1, sent)
    (request,) = client.events
    assert isinstance(request, ConnectRequested)
    assert (request.app, request.tc_url, request.flash_ver) == (app, tc_url, "")


def test_a_second_connect_is_refused() -> None:
    client = WireClient().connect().call("connect", 5, PLAY_OBJECT)
    (reply,) = client.replies()
    assert (reply.name, reply.transaction_id) == ("_error", 5)
    assert reply.code == "NetConnection.Connect.Rejected"
    assert client.events == [Closed(reason="second_connect", detail="connected already")]


def test_c51_a_rejected_connect_has_a_description_and_closes() -> None:
    client = WireClient(accepting=False).shake_hands().call("connect", 1, PLAY_OBJECT)
    assert client.server.reject_connect("NetConnection.Connect.InvalidApp", "")
    (reply,) = client.collect().replies()
    assert (reply.name, reply.transaction_id) == ("_error", 1)
    assert reply.values[0] is None
    assert reply.values[1]["level"] == "error"
    assert reply.values[1]["description"]
    assert isinstance(client.events[-1], Closed)
    assert client.server.closed


def test_commands_sent_ahead_of_the_connect_answer_are_served_after_it() -> None:
    client = WireClient(accepting=False).shake_hands()
    ahead = command("_checkbw", 2, None) + command("createStream", 3, None)
    client.send(command("connect", 1, PLAY_OBJECT) + ahead)
    assert client.replies() == []
    assert client.server.accept_connect()
    replies = client.collect().replies()
    assert [(one.name, one.transaction_id) for one in replies] == [
        ("_result", 1),
        ("_result", 2),
        ("_result", 3),
    ]


def test_too_many_commands_ahead_of_the_connect_answer_close() -> None:
    client = WireClient(accepting=False).shake_hands().call("connect", 1, PLAY_OBJECT)
    for _ in range(MAX_HELD_COMMANDS + 1):
        client.call("createStream", 2, None)
    assert client.events[-1] == Closed(
        reason="command_flood", detail="too many commands before connect was answered"
    )
    assert not client.server.accept_connect()


def test_a_held_publish_that_is_bad_closes_only_when_it_is_served() -> None:
    client = WireClient(accepting=False).shake_hands()
    client.send(command("connect", 1, PLAY_OBJECT) + command("publish", 0, None, 5))
    client.call("createStream", 3, None)
    assert client.server.accept_connect()
    assert [one.name for one in client.collect().replies()] == ["_result", "onStatus"]
    assert isinstance(client.events[-1], Closed)


@pytest.mark.parametrize("name", ["publish", "play", "createStream", "anything"])
def test_commands_without_connect_are_refused(name: str) -> None:
    client = WireClient().shake_hands().call(name, 4, None, "name")
    (reply,) = client.replies()
    assert (reply.name, reply.transaction_id) == ("_error", 4)
    assert client.events == [Closed(reason="not_connected", detail="connect must come first")]


# publish


def test_c55_publish_start_comes_after_the_answer_on_the_streams_id() -> None:
    client = WireClient().connect().call("createStream", 2, None)
    client.accepting = False
    client.call("publish", 3, None, "name?token=1", "live", stream_id=1)
    assert client.events == [
        PublishRequested(stream_id=1, name="name?token=1", publish_type="live")
    ]
    assert [one.name for one in client.replies()] == ["_result"]  # createStream's
    assert client.server.accept_publish(1)
    begin, status = client.collect().messages()
    assert begin.payload == control.encode_user_control(UserControl.STREAM_BEGIN, 1)
    assert (status.type_id, status.stream_id) == (MessageType.COMMAND_AMF0, 1)
    assert b"NetStream.Publish.Start" in status.payload
    assert b"\x00\x07details\x02\x00\x0cname?token=1" in status.payload


def test_media_of_an_accepted_publish_comes_out_in_order() -> None:
    client = WireClient().publish()
    metadata = b"\x02\x00\x0aonMetaData\x08\0\0\0\0\0\0\x09"
    client.send(
        message(18, metadata, stream_id=1)
        + message(9, b"\x17\x00" + bytes(500), stream_id=1, timestamp=1)
        + message(8, b"", stream_id=1, timestamp=2)
        + message(9, b"", stream_id=99, timestamp=0xFFFFFFFF)  # a wrong id is forgiven
    )
    assert client.events == [
        Message(18, 0, 1, metadata),
        Message(9, 1, 1, b"\x17\x00" + bytes(500)),
        Message(8, 2, 1, b""),
        Message(9, 0xFFFFFFFF, 99, b""),
    ]


def test_c35_zero_length_messages_do_not_close() -> None:
    client = WireClient().publish()
    for type_id in (8, 9, 18, 15):
        client.send(message(type_id, b"", stream_id=1))
    assert [one.type_id for one in client.events if isinstance(one, Message)] == [8, 9]
    assert not client.server.closed


def test_c56_a_rejected_publish_gets_bad_name_and_closes() -> None:
    client = WireClient().connect()
    client.accepting = False
    client.call("publish", 3, None, "name", stream_id=1)
    assert client.server.reject_publish(1, "NetStream.Publish.BadName", "taken")
    (reply,) = client.collect().replies()
    assert (reply.name, reply.stream_id) == ("onStatus", 1)
    assert (reply.values[1]["level"], reply.code) == ("error", "NetStream.Publish.BadName")
    assert client.events[-1] == Closed(
        reason="publish_rejected", detail="NetStream.Publish.BadName: taken"
    )


@pytest.mark.parametrize("accepting", [True, False])
def test_c56_a_publisher_that_is_taken_over_gets_an_error_and_closes(accepting: bool) -> None:
    client = WireClient().connect()
    client.accepting = accepting
    client.call("publish", 3, None, "name", stream_id=1)
    client.messages()
    assert not client.server.end_publish(2, "NetStream.Publish.BadName", "taken over")
    assert client.server.end_publish(1, "NetStream.Publish.BadName", "taken over")
    assert [one.code for one in client.collect().replies()] == ["NetStream.Publish.BadName"]
    assert client.server.closed
    assert not client.server.end_publish(1, "NetStream.Publish.BadName", "taken over")


# play


def test_c64_play_is_begun_in_the_right_order_on_one_id() -> None:
    client = WireClient().connect().call("createStream", 2, None)
    client.messages()
    client.call("play", 3, None, "name", -2000, stream_id=1)
    begin, reset, start, access = client.messages()
    assert begin.payload == control.encode_user_control(UserControl.STREAM_BEGIN, 1)
    assert b"NetStream.Play.Reset" in reset.payload
    assert b"NetStream.Play.Start" in start.payload
    assert access.type_id == MessageType.DATA_AMF0
    assert access.payload == b"\x02\x00\x11|RtmpSampleAccess\x01\x01\x01\x01"
    assert [one.stream_id for one in (reset, start, access)] == [1, 1, 1]


def test_c65_an_unknown_stream_is_refused_and_closed() -> None:
    client = WireClient().connect()
    client.accepting = False
    client.call("play", 3, None, "name", stream_id=1)
    assert client.server.reject_play(1, "NetStream.Play.StreamNotFound", "no such stream")
    (reply,) = client.collect().replies()
    assert (reply.stream_id, reply.code) == (1, "NetStream.Play.StreamNotFound")
    assert reply.values[1]["description"] == "no such stream"
    assert client.server.closed


def test_end_play_tells_the_player_and_leaves_closing_to_the_shell() -> None:
    client = WireClient().play()
    assert not client.server.end_play(2)
    assert client.server.end_play(1)
    assert [one.code for one in client.collect().replies()] == ["NetStream.Play.UnpublishNotify"]
    assert not client.server.closed
    client.server.close("stream_ended", "for good")
    assert client.collect().events == [Closed(reason="stream_ended", detail="for good")]


def test_tracks_switched_off_before_the_answer_are_told_after_it() -> None:
    client = WireClient().connect().call("receiveVideo", 0, None, False)
    client.call("play", 0, None, "name", stream_id=1)
    assert client.events[-1] == TrackChanged(stream_id=1, audio=True, video=False)


@pytest.mark.parametrize(("caps_ex", "asked"), [(1, True), (15, True), (14, False), (None, False)])
def test_c72_reconnect_is_requested_only_of_clients_that_announced_it(
    caps_ex: int | None, asked: bool
) -> None:
    client = WireClient().connect(capsEx=caps_ex)
    assert client.server.request_reconnect("rtmp://other/live", "draining") is asked
    replies = client.collect().replies()
    assert len(replies) == asked
    for reply in replies:
        assert (reply.name, reply.transaction_id, reply.stream_id) == ("onStatus", 0, 0)
        assert reply.code == "NetConnection.Connect.ReconnectRequest"
        assert reply.values[1]["tcUrl"] == "rtmp://other/live"


# late answers


def test_an_answer_to_a_request_that_was_taken_back_does_nothing() -> None:
    client = WireClient().connect()
    client.accepting = False
    client.call("createStream", 2, None).call("publish", 3, None, "name", stream_id=1)
    client.call("deleteStream", 0, None, 1)
    assert client.events[-1] == PublishStopped(stream_id=1)
    client.messages()
    assert not client.server.accept_publish(1)
    assert not client.server.reject_publish(1, "NetStream.Publish.BadName", "late")
    assert not client.server.accept_play(1)
    assert client.collect().messages() == []

    client.call("createStream", 4, None).call("play", 5, None, "name", stream_id=2)
    client.call("closeStream", 0, None, stream_id=2)
    assert client.events[-1] == PlayStopped(stream_id=2)
    assert not client.server.accept_play(2)
    assert not client.server.reject_play(2, "NetStream.Play.Failed", "late")


def test_an_answer_after_the_end_does_nothing() -> None:
    client = WireClient(accepting=False).shake_hands().call("connect", 1, PLAY_OBJECT)
    client.server.receive_eof(client.now)
    client.collect().messages()
    assert not client.server.accept_connect()
    assert not client.server.reject_connect("NetConnection.Connect.Rejected", "late")
    assert not client.server.accept_publish(1)
    assert not client.server.request_reconnect(None, "late")
    assert client.collect().received == b""
    assert client.events[-1] == Closed(reason="eof")


def test_an_answer_without_any_request_is_our_mistake() -> None:
    client = WireClient(accepting=False).shake_hands()
    with pytest.raises(UsageError):
        client.server.accept_publish(1)
    with pytest.raises(UsageError):
        client.server.reject_play(1, "NetStream.Play.Failed", "")
    assert not client.server.accept_connect()


def test_commands_are_served_while_an_answer_is_pending() -> None:
    client = WireClient().connect()
    client.accepting = False
    client.call("publish", 0, None, "name", stream_id=1).call("_checkbw", 9, None)
    assert [(one.name, one.transaction_id) for one in client.replies()] == [("_result", 9)]


# closing


def test_closed_comes_once_and_last_and_nothing_is_taken_after_it() -> None:
    client = WireClient().publish()
    client.server.close("kicked", "by the operator")
    client.server.close("again")
    client.server.receive_eof(client.now)
    client.send(message(9, b"\x17\x01", stream_id=1))
    client.server.handle_deadline(client.now + 1000)
    assert client.collect().events == [Closed(reason="kicked", detail="by the operator")]
    assert client.server.next_deadline() is None


@pytest.mark.parametrize(
    ("first", "reason"),
    [(b"\x16\x03\x01", "not_rtmp_tls"), (b"GET / HTTP/1.1", "not_rtmp_http"), (b"\x06", "rtmpe")],
)
def test_c7_what_is_not_rtmp_closes_with_its_reason(first: bytes, reason: str) -> None:
    client = WireClient().send(first)
    (closed,) = client.events
    assert isinstance(closed, Closed)
    assert closed.reason == reason
    assert client.received == b""


# deadlines


def expect_close_at(client: WireClient, after_s: float, reason: str) -> None:
    due = client.server.next_deadline()
    assert due == client.now + after_s
    client.server.handle_deadline(due - 0.001)
    assert not client.server.closed
    client.server.handle_deadline(due)
    closed = client.collect().events[-1]
    assert isinstance(closed, Closed)
    assert closed.reason == reason


def test_c8_a_silent_client_is_dropped_at_the_handshake_deadline() -> None:
    expect_close_at(WireClient(), 10.0, "handshake_timeout")


def test_c8_the_handshake_deadline_is_for_all_of_it() -> None:
    client = WireClient()
    client.now += 6.0
    client.send(C0C1 + C2[:-1])
    client.server.handle_deadline(109.9)
    assert not client.server.closed
    client.server.handle_deadline(110.0)
    assert client.server.closed


def test_a_client_that_does_not_connect_is_dropped() -> None:
    expect_close_at(WireClient().shake_hands(), 10.0, "connect_timeout")


def test_a_client_that_neither_publishes_nor_plays_is_dropped() -> None:
    expect_close_at(WireClient().connect(), 20.0, "request_timeout")


def test_a_client_that_stopped_may_take_its_time_again() -> None:
    client = WireClient().publish()
    client.now += 3600
    client.call("deleteStream", 0, None, 1)
    expect_close_at(client, 20.0, "request_timeout")


def test_there_is_no_deadline_while_an_answer_of_ours_is_pending() -> None:
    client = WireClient(accepting=False).shake_hands().call("connect", 1, PLAY_OBJECT)
    client.server.handle_deadline(client.now + 1000)
    client.server.accept_connect()
    client.call("play", 2, None, "name", stream_id=1)
    client.server.handle_deadline(client.now + 2000)
    assert not client.server.closed
    due = client.server.next_deadline()
    assert due is not None  # to look again, not to act
    assert due > client.now + 2000


def test_a_silent_publisher_is_dropped() -> None:
    client = WireClient().publish()
    client.now += 5.0
    client.send(message(9, b"\x17\x01", stream_id=1))
    expect_close_at(client, 10.0, "publisher_silent")


def test_the_silence_of_a_publisher_starts_with_our_answer_however_late() -> None:
    client = WireClient().connect()
    client.accepting = False
    client.call("publish", 0, None, "name", stream_id=1)
    client.now += 60.0  # Redis was away
    assert client.server.accept_publish(1)
    client.server.handle_deadline(client.now)
    expect_close_at(client, 10.0, "publisher_silent")


def test_an_idle_player_is_pinged_and_then_dropped() -> None:
    client = WireClient().play()
    due = client.server.next_deadline()
    assert due == client.now + 60.0
    client.server.handle_deadline(due)
    (ping,) = client.collect().messages()
    assert ping.payload == control.encode_user_control(UserControl.PING_REQUEST, int(due * 1000))
    client.now = due
    expect_close_at(client, 30.0, "ping_timeout")


def test_an_idle_player_that_answers_the_ping_stays() -> None:
    client = WireClient().play()
    client.now += 60.0
    client.server.handle_deadline(client.now)
    client.now += 1.0
    client.send(user_control(UserControl.PING_RESPONSE, 0))
    assert client.server.next_deadline() == client.now + 60.0


def test_publishers_are_not_pinged() -> None:
    client = WireClient().publish()
    for _ in range(100):
        client.now += 9.0
        client.server.handle_deadline(client.now)
        client.send(message(8, b"\xaf\x01", stream_id=1))
    assert client.messages() == []


def after_windows(client: WireClient, count: int) -> None:
    """Lets so many windows pass, with a byte of the unfinished message in each second."""
    for _ in range(count):
        for _ in range(round(PROGRESS_WINDOW_S)):
            client.now += 1.0
            client.send(b"\0")
        assert client.server.next_deadline() == client.now
        client.server.handle_deadline(client.now)
        client.collect()


def test_a_message_that_dribbles_is_dropped() -> None:
    client = WireClient().publish()
    client.send(message(9, bytes(100), stream_id=1)[:20])
    after_windows(client, 1)
    assert not client.server.closed, "it might have begun just now"
    after_windows(client, 1)
    assert closed_reason(client) == "message_stalled"


def test_other_messages_are_no_progress_of_one_that_dribbles() -> None:
    client = WireClient().play()
    client.send(message(20, bytes(100), csid=3)[:20])
    for _ in range(3):
        client.now += PROGRESS_WINDOW_S - 1
        client.send(message(99, b"", csid=12))
        client.now += 1
        client.server.handle_deadline(client.now)
    assert closed_reason(client.collect()) == "message_stalled"


def test_messages_that_are_cut_at_each_read_but_come_are_not_stalled() -> None:
    client = WireClient().publish()
    whole = message(9, bytes(100), stream_id=1)
    client.send(whole[:50])
    for _ in range(50):
        client.now += PROGRESS_WINDOW_S / 5
        client.send(whole[50:] + whole[:50])
        client.server.handle_deadline(client.now)
    assert not client.server.closed


def test_a_player_that_dribbles_is_dropped_before_its_ping() -> None:
    client = WireClient().play()
    client.send(message(20, bytes(100), csid=3)[:20])
    assert client.server.next_deadline() == client.now + 10.0


# Unfinished messages: only a publisher has large ones.


CHUNK = 100_000
LAST_CHUNK = b"\xc6" + bytes(CHUNK)


def unfinished(chunks: int) -> bytes:
    """Returns a video message in large chunks of which the last one is missing."""
    whole = message(9, bytes((chunks + 1) * CHUNK), csid=6, stream_id=1, chunk_size=CHUNK)
    return message(1, CHUNK.to_bytes(4, "big"), csid=2) + whole.removesuffix(LAST_CHUNK)


SMALL_FOR_VIEWERS = RtmpLimits(max_viewer_partial_bytes=4 * CHUNK)


@pytest.mark.parametrize("state", ["connect", "play"])
def test_who_does_not_publish_holds_no_large_messages(state: str) -> None:
    client: WireClient = getattr(WireClient(SMALL_FOR_VIEWERS), state)()
    client.send(unfinished(4))
    assert not client.server.closed
    client.send(LAST_CHUNK + unfinished(5))
    assert closed_reason(client) == "partial_messages_too_large"


def test_who_published_and_plays_now_holds_none_either() -> None:
    client = WireClient(SMALL_FOR_VIEWERS).publish()
    client.send(unfinished(5))
    assert not client.server.closed
    client.call("deleteStream", 0, None, 1).call("play", 0, None, "name", stream_id=1)
    assert closed_reason(client) == "partial_messages_too_large"


def test_an_encoder_that_does_not_wait_for_its_answer_may_send_a_large_message() -> None:
    client = WireClient(SMALL_FOR_VIEWERS, accepting=False).shake_hands()
    client.call("connect", 1, PLAY_OBJECT)
    client.server.accept_connect()
    ask = command("publish", 0, None, "name", "live", stream_id=1)
    client.send(ask + unfinished(5))
    client.send(LAST_CHUNK)
    assert not client.server.closed


def test_limits_come_from_the_settings() -> None:
    limits = RtmpLimits(handshake_timeout_s=1.0, request_timeout_s=2.0, publish_silence_s=3.0)
    assert WireClient(limits).server.next_deadline() == 101.0
    assert WireClient(limits).connect().server.next_deadline() == 102.0
    assert WireClient(limits).publish().server.next_deadline() == 103.0


def test_requests_are_answered_by_what_the_shell_decides_later() -> None:
    client = WireClient(accepting=False).shake_hands().call("connect", 1, PLAY_OBJECT)
    client.server.accept_connect()
    client.collect().call("play", 2, None, "name", stream_id=1)
    assert isinstance(client.events[-1], PlayRequested)
    assert not client.server.accept_play(2)
    assert client.server.accept_play(1)
    assert not client.server.accept_play(1)
