from typing import cast

import pytest

from common.net.last_gop import AUDIO_ONLY_MESSAGES, LastGop
from common.net.link import Link
from common.rtmp.message import Message, MessageType

KEYFRAME = b"\x17\x01\x00\x00\x00key"
FRAME = b"\x27\x01\x00\x00\x00frame"
HEADER = b"\x17\x00\x00\x00\x00header"
ENHANCED_KEYFRAME = b"\x91hvc1\x00\x00\x00key"
BROKEN = b"\x17"
SOUND = b"\xaf\x01sound"


class Session:
    def __init__(self) -> None:
        self.passed: list[bytes] = []
        self.closed: list[str] = []
        self.stopped: list[str] = []

    def media(self, messages: list[Message]) -> None:
        self.passed += [each.payload for each in messages]

    def stop(self, reason: str) -> None:
        self.stopped.append(reason)

    def close(self, reason: str, detail: str = "") -> None:
        self.closed.append(reason)


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def last_gop(session: Session) -> LastGop:
    return LastGop(session, cast("Link", session), "draining")


def video(payload: bytes) -> Message:
    return Message(type_id=MessageType.VIDEO, timestamp=0, stream_id=1, payload=payload)


def audio() -> Message:
    return Message(type_id=MessageType.AUDIO, timestamp=0, stream_id=1, payload=SOUND)


@pytest.mark.parametrize("keyframe", [KEYFRAME, ENHANCED_KEYFRAME])
def test_the_keyframe_that_begins_the_next_gop_is_not_taken(
    last_gop: LastGop, session: Session, keyframe: bytes
) -> None:
    rest = [FRAME, HEADER, BROKEN, FRAME]
    last_gop.media([video(payload) for payload in rest[:2]])
    assert (session.passed, session.closed) == (rest[:2], [])
    last_gop.media([video(payload) for payload in [*rest[2:], keyframe, FRAME]])
    assert (session.passed, session.closed) == (rest, ["draining"])


def test_a_stream_without_video_ends_soon(last_gop: LastGop, session: Session) -> None:
    for _ in range(AUDIO_ONLY_MESSAGES):
        last_gop.media([audio()])
    assert session.closed == []
    last_gop.media([audio()])
    assert session.closed == ["draining"]


def test_sound_between_pictures_ends_nothing(last_gop: LastGop, session: Session) -> None:
    for _ in range(3):
        last_gop.media([audio()] * AUDIO_ONLY_MESSAGES)
        last_gop.media([video(FRAME)])
    assert session.closed == []


def test_an_encoder_that_leaves_first_ends_the_session(last_gop: LastGop, session: Session) -> None:
    last_gop.stop("unpublished")
    assert session.stopped == ["unpublished"]
