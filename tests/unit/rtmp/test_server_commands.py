from typing import Any

import pytest

from common.rtmp import control
from common.rtmp.amf_values import UNDEFINED
from common.rtmp.events import (
    Closed,
    PauseChanged,
    PlayRequested,
    PlayStopped,
    PublishRequested,
    PublishStopped,
    TrackChanged,
)
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message, MessageType, UserControl
from tests.support.wire import WireClient, message


def names(client: WireClient) -> list[tuple[str, float, str]]:
    return [(one.name, one.transaction_id, one.code) for one in client.replies()]


# What is sent after `connect`, and every answer to it: (name, transaction id, code).
ANSWERS: list[tuple[str, float, tuple[Any, ...], list[tuple[str, float, str]]]] = [
    ("releaseStream", 2, (None, "name"), [("_result", 2, "")]),
    ("releaseStream", 0, (None, "name"), []),
    ("releaseStream", 2, (), [("_result", 2, "")]),
    (
        "FCPublish",  # conformance 53
        3,
        (None, "name"),
        [("_result", 3, ""), ("onFCPublish", 3, "NetStream.Publish.Start")],
    ),
    ("FCPublish", 0, (None, "name"), []),
    (
        "FCUnpublish",
        6,
        (None, "name"),
        [("onFCUnpublish", 0, "NetStream.Unpublish.Success"), ("_result", 6, "")],
    ),
    (
        "FCSubscribe",
        4,
        (None, "name"),
        [("_result", 4, ""), ("onFCSubscribe", 0, "NetStream.Play.Start")],
    ),
    ("createStream", 4, (None,), [("_result", 4, "")]),
    ("createStream", 0, (None,), [("_result", 0, "")]),
    ("_checkbw", 5, (None,), [("_result", 5, "")]),
    ("getStreamLength", 3, (None, "name"), [("_result", 3, "")]),
    ("deleteStream", 0, (None, 1), []),
    ("deleteStream", 7, (None,), []),
    ("closeStream", 0, (None,), []),
    ("play2", 8, (None, {}), [("_result", 8, "")]),
    ("set_playlist", 9, (None,), [("_result", 9, "")]),
    ("somethingNew", 10, (None,), [("_result", 10, "")]),
    ("somethingNew", 0, (None,), []),
    ("pause", 0, (None, True, 0), []),
    ("seek", 0, (None, 10), []),
    ("receiveAudio", 0, (None, False), []),
    ("publish", 0, (None, False), []),
    ("play", 0, (None, False), []),
]


@pytest.mark.parametrize(("name", "transaction_id", "values", "answers"), ANSWERS)
def test_c52_every_command_has_its_answer_in_any_order(
    name: str, transaction_id: float, values: tuple[Any, ...], answers: list[Any]
) -> None:
    client = WireClient().connect().call(name, transaction_id, *values)
    assert names(client) == answers
    assert client.events == []


def test_release_stream_and_fc_publish_answer_undefined() -> None:
    client = WireClient().connect()
    client.call("releaseStream", 2, None, "name").call("FCPublish", 3, None, "name")
    for reply in client.replies()[:2]:
        assert reply.values == [None, UNDEFINED]


def test_c52_fc_publish_after_create_stream_works() -> None:
    client = WireClient().connect().call("_checkbw", 2, None).call("createStream", 3, None)
    client.call("FCPublish", 4, None, "name").call("publish", 0, None, "name", stream_id=1)
    codes = [code for _, _, code in names(client)]
    assert codes == ["", "", "", "NetStream.Publish.Start", "NetStream.Publish.Start"]


def test_c54_create_stream_answers_null_and_a_number_from_1() -> None:
    client = WireClient().connect()
    client.call("createStream", 2, None).call("createStream", 3, None)
    assert [one.values for one in client.replies()] == [[None, 1.0], [None, 2.0]]


def test_the_lowest_stream_id_that_is_free_is_given_out() -> None:
    client = WireClient().connect()
    for transaction_id in (2, 3, 4):
        client.call("createStream", transaction_id, None)
    client.call("deleteStream", 0, None, 2)
    client.call("createStream", 5, None).call("createStream", 6, None)
    assert [one.values[1] for one in client.replies()] == [1.0, 2.0, 3.0, 2.0, 4.0]


def test_too_many_streams_close() -> None:
    limits = RtmpLimits(max_message_streams=2)
    client = WireClient(limits).connect()
    for transaction_id in (2, 3, 4):
        client.call("createStream", transaction_id, None)
    assert [one[:2] for one in names(client)] == [("_result", 2), ("_result", 3), ("_error", 4)]
    (closed,) = client.events
    assert isinstance(closed, Closed)
    assert closed.reason == "too_many_streams"


def test_c66_get_stream_length_gets_a_number() -> None:
    client = WireClient().connect().call("getStreamLength", 3, None, "name")
    assert client.replies()[0].values == [None, 0.0]


# publish


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (("live",), "live"),
        (("record",), "record"),
        (("append",), "append"),
        ((), "live"),
        (("whatever",), "whatever"),
        ((None,), "live"),
        ((5,), "live"),
    ],
)
def test_c58_every_publish_type_publishes_live(arguments: tuple[Any, ...], kind: str) -> None:
    client = WireClient().connect()
    client.call("publish", 5, None, "name", *arguments, stream_id=1)
    assert client.events == [PublishRequested(stream_id=1, name="name", publish_type=kind)]
    assert names(client) == [("onStatus", 0, "NetStream.Publish.Start")]


def test_an_empty_name_is_passed_on() -> None:
    client = WireClient(accepting=False)  # OBS Multitrack sends "" or "?clientConfigId=…"
    client.accepting = True
    client.connect().call("publish", 5, None, "", stream_id=1)
    assert client.events == [PublishRequested(stream_id=1, name="", publish_type="live")]


def test_c57_publish_false_is_unpublish() -> None:
    client = WireClient().publish().call("publish", 0, None, False, stream_id=1)
    assert client.events == [PublishStopped(stream_id=1)]
    assert names(client) == [("onStatus", 0, "NetStream.Unpublish.Success")]
    assert not client.server.closed


@pytest.mark.parametrize("name", [None, True, 5, {"a": 1}, ["name"], UNDEFINED])
def test_c57_publish_of_what_is_no_name_is_refused(name: object) -> None:
    client = WireClient().connect().call("publish", 5, None, name, stream_id=1)
    (reply,) = client.replies()
    assert (reply.name, reply.stream_id, reply.code) == (
        "onStatus",
        1,
        "NetStream.Publish.BadName",
    )
    assert reply.values[1]["description"] == "the stream name is not a string"
    assert isinstance(client.events[-1], Closed)


@pytest.mark.parametrize(("verb", "code"), [("publish", "BadName"), ("play", "Failed")])
def test_a_name_over_the_limit_is_refused(verb: str, code: str) -> None:
    limits = RtmpLimits(max_name_bytes=100)
    client = WireClient(limits).connect()
    client.call(verb, 5, None, "é" * 51, stream_id=1)
    assert client.replies()[0].code.endswith(code)
    assert client.server.closed
    client = WireClient(limits).connect().call(verb, 5, None, "é" * 50, stream_id=1)
    assert not client.server.closed


@pytest.mark.parametrize("key", ["app", "tcUrl"])
def test_an_app_or_tc_url_over_the_limit_is_refused(key: str) -> None:
    client = WireClient(RtmpLimits(max_name_bytes=100)).shake_hands()
    client.call("connect", 1, {key: "a" * 101})
    assert names(client) == [("_error", 1, "NetConnection.Connect.Rejected")]
    (closed,) = client.events
    assert isinstance(closed, Closed)
    assert closed.reason == "name_too_long"


@pytest.mark.parametrize("stream_id", [1, 2])
def test_a_second_publish_on_a_connection_is_refused(stream_id: int) -> None:
    client = WireClient().publish().call("publish", 0, None, "other", stream_id=stream_id)
    (reply,) = client.replies()
    assert (reply.stream_id, reply.code) == (stream_id, "NetStream.Publish.BadName")
    assert client.server.closed


def test_publish_while_playing_and_play_while_publishing_are_refused() -> None:
    client = WireClient().play().call("publish", 0, None, "name", stream_id=1)
    assert client.replies()[0].code == "NetStream.Publish.BadName"
    assert client.server.closed
    client = WireClient().publish().call("play", 0, None, "name", stream_id=1)
    assert client.replies()[0].code == "NetStream.Play.Failed"
    assert client.server.closed


UNPUBLISH = [
    ("FCUnpublish", (None, "name"), 0),
    ("deleteStream", (None, 1), 0),
    ("deleteStream", (None,), 1),
    ("closeStream", (None,), 1),
    ("closeStream", (None,), 0),
    ("publish", (None, False), 1),
]


@pytest.mark.parametrize(("name", "values", "stream_id"), UNPUBLISH)
def test_c59_after_an_unpublish_the_connection_may_publish_again(
    name: str, values: tuple[Any, ...], stream_id: int
) -> None:
    client = WireClient().publish().call(name, 0, *values, stream_id=stream_id)
    assert client.events == [PublishStopped(stream_id=1)]
    client.send(message(9, b"\x27\x01", stream_id=1))  # what is still under way
    client.events.clear()
    client.call("createStream", 7, None).call("publish", 0, None, "again", stream_id=2)
    client.send(message(9, b"\x17\x01", stream_id=2))
    assert client.events == [
        PublishRequested(stream_id=2, name="again", publish_type="live"),
        Message(9, 0, 2, b"\x17\x01"),
    ]


def test_c59_fc_unpublish_with_delete_stream_stops_once_and_says_so() -> None:
    client = WireClient().publish()
    client.call("FCUnpublish", 6, None, "name").call("deleteStream", 7, None, 1)
    assert client.events == [PublishStopped(stream_id=1)]
    assert names(client) == [
        ("onFCUnpublish", 0, "NetStream.Unpublish.Success"),
        ("_result", 6, ""),
        ("onStatus", 0, "NetStream.Unpublish.Success"),
    ]


def test_delete_stream_of_another_id_leaves_the_publish_alone() -> None:
    client = WireClient().publish().call("createStream", 3, None)
    client.call("deleteStream", 0, None, 2).call("closeStream", 0, None, stream_id=2)
    assert client.events == []


def test_delete_stream_ends_a_publish_on_an_id_of_the_clients_own_making() -> None:
    client = WireClient().connect().call("createStream", 2, None)
    client.call("publish", 0, None, "name", stream_id=0)  # ffmpeg, when it is confused
    client.call("deleteStream", 0, None, 1)
    assert client.events[-1] == PublishStopped(stream_id=0)


# play


@pytest.mark.parametrize("start", [-2000, -1000, -2, -1, 0, 5, None, "x", float("nan")])
def test_c63_every_start_plays_live(start: object) -> None:
    client = WireClient().connect().call("play", 3, None, "name", start, stream_id=1)
    (play,) = client.events
    assert isinstance(play, PlayRequested)
    assert play.start == (start if isinstance(start, int) else -2.0)
    assert [code for _, _, code in names(client)] == [
        "NetStream.Play.Reset",
        "NetStream.Play.Start",
    ]


@pytest.mark.parametrize(
    ("reset", "expected"), [(True, True), (False, False), (0, False), (3, True), (None, True)]
)
def test_reset_is_a_boolean_or_a_number(reset: object, expected: bool) -> None:
    client = WireClient().connect().call("play", 3, None, "name", -2, -1, reset, stream_id=1)
    (play,) = client.events
    assert isinstance(play, PlayRequested)
    assert play.reset is expected


@pytest.mark.parametrize("name", [None, 5, True, {}])
def test_play_of_what_is_no_name_is_refused(name: object) -> None:
    client = WireClient().connect().call("play", 3, None, name, stream_id=1)
    assert names(client) == [("onStatus", 0, "NetStream.Play.Failed")]
    assert client.server.closed


@pytest.mark.parametrize("stream_id", [1, 2])
def test_a_new_play_ends_the_one_before(stream_id: int) -> None:
    client = WireClient().play().call("play", 0, None, "other", stream_id=stream_id)
    assert client.events == [
        PlayStopped(stream_id=1),
        PlayRequested(stream_id=stream_id, name="other", start=-2.0, reset=True),
    ]


@pytest.mark.parametrize(
    ("name", "values"), [("play", (None, False)), ("deleteStream", (None, 1)), ("closeStream", ())]
)
def test_a_player_stops_and_may_play_again(name: str, values: tuple[Any, ...]) -> None:
    client = WireClient().play().call(name, 0, *values, stream_id=1)
    assert client.events == [PlayStopped(stream_id=1)]
    client.call("play", 0, None, "again", stream_id=1)
    assert [type(one) for one in client.events] == [PlayStopped, PlayRequested]


@pytest.mark.parametrize("verb", ["pause", "pauseRaw"])
def test_c67_pause_is_confirmed_and_told(verb: str) -> None:
    client = WireClient().play().call(verb, 0, None, True, 1000, stream_id=1)
    status, eof = client.messages()
    assert b"NetStream.Pause.Notify" in status.payload
    assert status.stream_id == 1
    assert eof.payload == control.encode_user_control(UserControl.STREAM_EOF, 1)
    client.call(verb, 0, None, False, 1000, stream_id=1)
    begin, status = client.messages()
    assert begin.payload == control.encode_user_control(UserControl.STREAM_BEGIN, 1)
    assert b"NetStream.Unpause.Notify" in status.payload
    assert client.events == [
        PauseChanged(stream_id=1, paused=True),
        PauseChanged(stream_id=1, paused=False),
    ]


def test_seek_is_confirmed_so_that_ffmpeg_goes_on() -> None:
    client = WireClient().play().call("seek", 0, None, 5000, stream_id=1)
    assert names(client) == [("onStatus", 0, "NetStream.Seek.Notify")]


TRACKS = [
    ("receiveAudio", False, TrackChanged(stream_id=1, audio=False), []),
    ("receiveVideo", False, TrackChanged(stream_id=1, video=False), []),
    (
        "receiveVideo",
        True,
        TrackChanged(stream_id=1, video=True),
        ["NetStream.Seek.Notify", "NetStream.Play.Start"],
    ),
]


@pytest.mark.parametrize(("name", "wanted", "event", "codes"), TRACKS)
def test_receive_audio_and_video_are_told(
    name: str, wanted: bool, event: TrackChanged, codes: list[str]
) -> None:
    client = WireClient().play().call(name, 0, None, wanted, stream_id=1)
    assert client.events == [event]
    assert [code for _, _, code in names(client)] == codes


def test_a_command_flood_closes() -> None:
    client = WireClient(RtmpLimits(commands_per_s=10.0, command_burst=20)).connect()
    for _ in range(20):
        client.call("releaseStream", 0, None, "name")
    (closed,) = client.events
    assert isinstance(closed, Closed)
    assert closed.reason == "command_flood"


def test_commands_within_the_rate_never_close() -> None:
    client = WireClient(RtmpLimits(commands_per_s=10.0, command_burst=10)).connect()
    for _ in range(200):
        client.now += 0.1
        client.call("releaseStream", 2, None, "name")
    assert not client.server.closed


def test_c37_commands_of_the_amf3_type_are_served_with_and_without_the_format_byte() -> None:
    client = WireClient().connect()
    body = b"\x02\x00\x0ccreateStream\x00\x40\x10\0\0\0\0\0\0\x05"
    client.send(message(MessageType.COMMAND_AMF3, b"\x00" + body, csid=3))
    client.send(message(MessageType.COMMAND_AMF3, body, csid=3))
    assert names(client) == [("_result", 4, ""), ("_result", 4, "")]
