"""Every client's session, in any split of its bytes, gives the events and answers it needs.

Conformance 31, 48-50, 52-55, 57, 59, 63, 64, 66 by the clients that they come from.
"""

import pytest

from common.rtmp.events import (
    Closed,
    ConnectRequested,
    PauseChanged,
    PlayRequested,
    PlayStopped,
    PublishRequested,
    PublishStopped,
    ServerEvent,
    TrackChanged,
)
from common.rtmp.message import Message
from tests.conformance.play_sessions import PLAY_SESSIONS
from tests.conformance.publish_sessions import PUBLISH_SESSIONS
from tests.conformance.session import Session
from tests.support.wire import Reply, WireClient

SESSIONS = [*PUBLISH_SESSIONS, *PLAY_SESSIONS]


def told(event: ServerEvent) -> str:
    match event:
        case ConnectRequested():
            return f"connect {event.app} {event.tc_url}"
        case PublishRequested():
            return f"publish {event.stream_id} {event.name} {event.publish_type}"
        case PublishStopped():
            return f"publish stopped {event.stream_id}"
        case PlayRequested():
            return f"play {event.stream_id} {event.name} {event.start:g}"
        case PlayStopped():
            return f"play stopped {event.stream_id}"
        case PauseChanged():
            return f"paused {event.stream_id} {event.paused}"
        case TrackChanged():
            return f"tracks {event.stream_id} {event.audio} {event.video}"
        case Message():
            return f"{event.type_id}@{event.timestamp}"
        case Closed():
            return f"closed {event.reason}"


def answered(reply: Reply) -> str:
    stream = f"@{reply.stream_id}" if reply.stream_id else ""
    return " ".join(filter(None, [reply.name, f"{reply.transaction_id:g}", reply.code, stream]))


@pytest.mark.parametrize("step", [0, 1, 3, 1000])
@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.client)
def test_a_client_gets_what_it_needs(session: Session, step: int) -> None:
    client = WireClient()
    for turn in session.turns:
        size = step or len(turn)
        for at in range(0, len(turn), size):
            client.send(turn[at : at + size])
    assert [told(event) for event in client.events] == session.events
    assert [answered(reply) for reply in client.replies()] == session.replies


@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.client)
def test_a_client_that_does_not_wait_for_answers_gets_them_too(session: Session) -> None:
    client = WireClient().send(b"".join(session.turns))
    requests = [told(event) for event in client.events if not isinstance(event, Message)]
    assert requests[0] == session.events[0]
    assert not client.server.closed
    assert answered(client.replies()[0]) == session.replies[0]
