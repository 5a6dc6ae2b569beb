import pytest

from common.errors import UsageError
from common.rtmp.client import Mode
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
    pair.client.send_data(0, b"\x02\x00\x0aonMetaData\x08\0\0\0\0\0\0\x09")
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
