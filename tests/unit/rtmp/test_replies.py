import pytest

from common.rtmp import replies
from common.rtmp.command import Command, decode_command, decode_data
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import MessageType


def decoded(payload: bytes) -> Command:
    return decode_command(MessageType.COMMAND_AMF0, payload, RtmpLimits())


ERRORS = [
    replies.error(4, "NetConnection.Connect.Rejected", ""),
    replies.error(4, "NetConnection.Connect.Rejected", "full"),
    replies.error_status("NetStream.Publish.BadName", ""),
    replies.error_status("NetStream.Publish.BadName", "taken"),
]


@pytest.mark.parametrize("payload", ERRORS)
def test_c51_every_error_has_a_description(payload: bytes) -> None:
    command = decoded(payload)
    assert command.command_object is None
    (info,) = command.arguments
    assert info["level"] == "error"
    assert info["description"]


def test_notices_are_of_level_status_with_transaction_id_0() -> None:
    for payload in (
        replies.status("NetStream.Play.Start", "Playing."),
        replies.publish_start("name"),
        replies.on_fc_unpublish(),
        replies.on_fc_subscribe(),
        replies.reconnect_request(None, "draining"),
    ):
        command = decoded(payload)
        assert command.transaction_id == 0
        assert command.arguments[0]["level"] == "status"
        assert command.arguments[0]["description"]


def test_the_reconnect_target_is_optional() -> None:
    info = decoded(replies.reconnect_request(None, "draining")).arguments[0]
    assert "tcUrl" not in info
    info = decoded(replies.reconnect_request("/app", "draining")).arguments[0]
    assert info["tcUrl"] == "/app"


def test_a_name_in_another_encoding_comes_back_as_it_came() -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert b"caf\xe9" in replies.publish_start(name)


def test_sample_access_is_a_data_message() -> None:
    values = decode_data(MessageType.DATA_AMF0, replies.SAMPLE_ACCESS, RtmpLimits())
    assert values == ["|RtmpSampleAccess", True, True]
