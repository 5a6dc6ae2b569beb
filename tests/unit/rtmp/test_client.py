import pytest

from common.errors import UsageError
from common.rtmp.amf_values import UNDEFINED
from common.rtmp.client import ClientConnection, Mode
from common.rtmp.events import (
    Closed,
    Connected,
    ConnectRequested,
    PlayRequested,
    PlayStarted,
    PlayStopped,
    Pong,
    PublishRequested,
    PublishStarted,
    PublishStopped,
    ReconnectRequested,
    Refused,
    StreamEnded,
)
from common.rtmp.message import Message, MessageType
from tests.support.pair import Pair
from tests.support.wire import command, message


def kinds(events: object) -> list[type]:
    assert isinstance(events, list)
    return [type(event) for event in events]


@pytest.mark.parametrize("step", [0, 1, 7])
@pytest.mark.parametrize("digest", [False, True])
def test_play_reaches_play_started(step: int, digest: bool) -> None:
    pair = Pair(Mode.PLAY, step=step, digest_handshake=digest).start()
    assert kinds(pair.client_events) == [Connected, PlayStarted]
    assert kinds(pair.server_events) == [ConnectRequested, PlayRequested]
    play = pair.server_events[1]
    assert isinstance(play, PlayRequested)
    assert (play.stream_id, play.name, play.start) == (1, "name?token=t", -1000.0)


@pytest.mark.parametrize("step", [0, 1, 7])
def test_publish_reaches_publish_started_and_media_arrives(step: int) -> None:
    pair = Pair(Mode.PUBLISH, step=step).start()
    assert kinds(pair.client_events) == [Connected, PublishStarted]
    big = bytes(range(256)) * 300
    metadata = b"\x02\x00\x0aonMetaData\x08\0\0\0\0\0\0\x09"
    pair.client.send_media(MessageType.DATA_AMF0, 0, metadata)
    pair.client.send_media(MessageType.VIDEO, 0xFFFFFF, big)
    pair.client.send_media(MessageType.AUDIO, 0x1_0000_0005, b"\xaf\x01a")
    pair.pump()
    media = [event for event in pair.server_events if isinstance(event, Message)]
    assert [(m.type_id, m.timestamp, m.stream_id) for m in media] == [
        (18, 0, 1),
        (9, 0xFFFFFF, 1),
        (8, 5, 1),
    ]
    assert media[1].payload == big


def test_connect_carries_the_properties_of_our_nodes() -> None:
    pair = Pair(Mode.PLAY, connect_properties={"headwater": {"node": "edge-1"}}).start()
    request = pair.server_events[0]
    assert isinstance(request, ConnectRequested)
    assert request.properties["headwater"] == {"node": "edge-1"}
    assert (request.app, request.tc_url) == ("live", "rtmp://host/live")
    assert request.caps_ex & 1


def test_the_connect_answer_is_passed_on() -> None:
    connected = Pair(Mode.PLAY).start().client_events[0]
    assert isinstance(connected, Connected)
    assert connected.info["code"] == "NetConnection.Connect.Success"
    assert connected.properties["capsEx"] == connected.info["capsEx"] == 15


def test_a_refused_connect_is_refused_and_closed() -> None:
    pair = Pair(Mode.PLAY, accept=False).start()
    pair.server.reject_connect("NetConnection.Connect.InvalidApp", "no such app")
    pair.pump()
    assert pair.client_events == [
        Refused(code="NetConnection.Connect.InvalidApp", description="no such app"),
        Closed(reason="refused", detail="NetConnection.Connect.InvalidApp: no such app"),
    ]


@pytest.mark.parametrize("mode", list(Mode))
def test_a_refused_stream_is_refused_and_closed(mode: Mode) -> None:
    pair = Pair(mode, accept=False).start()
    pair.server.accept_connect()
    pair.pump()
    if mode is Mode.PLAY:
        assert pair.server.reject_play(1, "NetStream.Play.StreamNotFound", "no such stream")
    else:
        assert pair.server.reject_publish(1, "NetStream.Publish.BadName", "taken")
    pair.pump()
    assert kinds(pair.client_events) == [Connected, Refused, Closed]


def test_the_end_of_the_stream_is_told_once() -> None:
    pair = Pair(Mode.PLAY).start()
    assert pair.server.end_play(1)
    pair.pump()
    assert pair.client_events[2:] == [StreamEnded(code="NetStream.Play.UnpublishNotify")]


def test_c72_reconnect_request_arrives() -> None:
    pair = Pair(Mode.PLAY).start()
    assert pair.server.request_reconnect("rtmp://other/live", "draining")
    assert pair.server.request_reconnect(None, "draining")
    pair.pump()
    assert pair.client_events[2:] == [
        ReconnectRequested(tc_url="rtmp://other/live", description="draining"),
        ReconnectRequested(tc_url=None, description="draining"),
    ]


def test_c41_a_ping_comes_back_with_its_round_trip_time() -> None:
    pair = Pair(Mode.PLAY).start()
    pair.client.ping(pair.now)
    pair.now += 0.25
    pair.pump().pump()
    assert pair.client_events[2:] == [Pong(rtt_s=0.25)]


def test_publish_finishes_with_fcunpublish_and_delete_stream() -> None:
    pair = Pair(Mode.PUBLISH).start()
    pair.client.finish(pair.now)
    pair.pump()
    assert pair.client_events[-1] == Closed(reason="finished")
    assert kinds(pair.server_events) == [ConnectRequested, PublishRequested, PublishStopped]


def test_play_finishes_with_delete_stream() -> None:
    pair = Pair(Mode.PLAY).start()
    pair.client.finish(pair.now)
    pair.client.finish(pair.now)
    pair.pump()
    assert pair.server_events[-1] == PlayStopped(stream_id=1)
    assert kinds(pair.client_events).count(Closed) == 1


def test_media_before_publish_started_is_our_mistake() -> None:
    pair = Pair(Mode.PUBLISH, accept=False).start()
    with pytest.raises(UsageError):
        pair.client.send_media(8, 0, b"")
    with pytest.raises(UsageError):
        pair.client.start()
    with pytest.raises(UsageError):
        Pair(Mode.PLAY).client.ping(0.0)


def test_calls_on_a_closed_client_do_nothing() -> None:
    pair = Pair(Mode.PUBLISH).start()
    pair.client.receive_eof(pair.now)
    pair.client.send_media(8, 0, b"a")
    pair.client.ping(pair.now)
    pair.client.finish(pair.now)
    assert pair.client.data_to_send() == b""
    assert pair.client.events() == [Closed(reason="eof")]


# Servers that are not ours


CONNECT_RESULT = command(
    "_result", 1, {"fmsVer": "x"}, {"level": "status", "code": "NetConnection.Connect.Success"}
)
CREATE_STREAM_RESULT = command("_result", 4, None, 7)


def status(level: str, code: str, **extra: str) -> bytes:
    info = {"level": level, "code": code, "description": "d"} | extra
    return command("onStatus", 0, None, info, stream_id=7, csid=5)


def at_server(mode: Mode, *said: bytes) -> ClientConnection:
    """A client that has heard these things from a server, after the handshake."""
    client = Pair(mode).client
    client.start()
    client.receive_data(b"\x03" + bytes(2 * 1536), 100.0)
    for one in said:
        client.receive_data(one, 100.0)
    return client


@pytest.mark.parametrize("slot", [[None, 0], [None, "1"], [None], [None, float("nan")], []])
def test_a_create_stream_result_without_an_id_closes(slot: list[object]) -> None:
    client = at_server(Mode.PLAY, CONNECT_RESULT, command("_result", 4, *slot))
    closed = client.events()[-1]
    assert isinstance(closed, Closed)
    assert closed.reason == "bad_create_stream"


def test_the_id_of_create_stream_is_found_behind_undefined() -> None:
    client = at_server(Mode.PLAY, CONNECT_RESULT, command("_result", 4, UNDEFINED, UNDEFINED, 7))
    client.receive_data(status("status", "NetStream.Play.Start"), 100.0)
    assert kinds(client.events()) == [Connected, PlayStarted]


@pytest.mark.parametrize("transaction_id", [2, 3])
def test_errors_for_release_stream_and_fc_publish_mean_nothing(transaction_id: int) -> None:
    failed = command("_error", transaction_id, None, {"level": "error", "code": "Failed"})
    client = at_server(
        Mode.PUBLISH,
        CONNECT_RESULT,
        failed,
        CREATE_STREAM_RESULT,
        status("status", "NetStream.Publish.Start"),
    )
    assert kinds(client.events()) == [Connected, PublishStarted]


@pytest.mark.parametrize("info", [{"level": "error", "code": 5}, {}, None])
def test_an_error_without_a_code_is_a_refusal(info: object) -> None:
    client = at_server(Mode.PLAY, CONNECT_RESULT, command("_error", 4, None, info))
    assert client.events()[1] == Refused(code="", description="")


def test_answers_to_what_was_not_asked_are_ignored() -> None:
    client = at_server(
        Mode.PLAY,
        CREATE_STREAM_RESULT,
        status("status", "NetStream.Play.Start"),
        status("status", "NetStream.Play.UnpublishNotify"),
        CONNECT_RESULT,
        CONNECT_RESULT,
        command("onBWDone", 0, None),
        CREATE_STREAM_RESULT,
        status("status", "NetStream.Publish.Start"),
        status("status", "NetStream.Play.Reset"),
        status("status", "NetStream.Play.Start"),
        status("status", "NetStream.Play.Start"),
    )
    assert kinds(client.events()) == [Connected, PlayStarted]


PLAYING = [CONNECT_RESULT, CREATE_STREAM_RESULT, status("status", "NetStream.Play.Start")]


def test_a_server_that_says_close_closes() -> None:
    client = at_server(Mode.PLAY, *PLAYING, command("close", 0, None))
    closed = client.events()[-1]
    assert isinstance(closed, Closed)
    assert closed.reason == "closed_by_server"


def test_stream_eof_ends_the_stream_if_it_is_ours() -> None:
    eof = message(4, b"\x00\x01\0\0\0\7", csid=2)
    other = message(4, b"\x00\x01\0\0\0\1", csid=2)
    client = at_server(Mode.PLAY, *PLAYING, other)
    assert len(client.events()) == 2
    client.receive_data(eof + eof + status("status", "NetStream.Play.Stop"), 100.0)
    assert client.events() == [StreamEnded(code="StreamEOF")]


def test_media_counts_from_play_on_even_before_play_start() -> None:
    audio = message(8, b"\xaf\x00\x12\x10", stream_id=7)
    client = at_server(Mode.PLAY, audio, CONNECT_RESULT, audio, CREATE_STREAM_RESULT, audio)
    assert client.events()[1:] == [Message(8, 0, 7, b"\xaf\x00\x12\x10")]
    assert client.dropped_messages == 2


def test_an_answer_to_no_ping_or_to_an_older_one_is_ignored() -> None:
    pong = message(4, b"\x00\x07" + (100_000).to_bytes(4, "big"), csid=2)
    client = at_server(Mode.PLAY, *PLAYING, pong)
    client.ping(101.0)
    client.receive_data(pong, 102.0)
    assert Pong not in kinds(client.events())
    client.ping(100.0)
    client.receive_data(pong + pong, 100.5)
    assert client.events() == [Pong(rtt_s=0.5)]


def test_a_server_that_floods_is_left() -> None:
    client = at_server(Mode.PLAY, *PLAYING)
    client.receive_data(message(4, b"\x00\x06\0\0\0\1", csid=2) * 200, 100.0)
    closed = client.events()[-1]
    assert isinstance(closed, Closed)
    assert closed.reason == "command_flood"


def test_finishing_before_there_is_a_stream_only_closes() -> None:
    client = at_server(Mode.PUBLISH)
    client.data_to_send()
    client.finish(100.0)
    assert client.data_to_send() == b""
    assert client.events() == [Closed(reason="finished")]
