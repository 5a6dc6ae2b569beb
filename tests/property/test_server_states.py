"""Random clients and random answers: the server core stays legal or closes, and never raises."""

from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from common.rtmp.amf_values import UNDEFINED
from common.rtmp.events import (
    Closed,
    PlayRequested,
    PlayStopped,
    PublishRequested,
    PublishStopped,
    ServerEvent,
)
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message
from common.rtmp.server_commands import COMMANDS
from common.rtmp.server_core import UNREADY_STATES
from tests.conformance.play_sessions import PLAY_SESSIONS
from tests.conformance.publish_sessions import PUBLISH_SESSIONS
from tests.conformance.session import Session
from tests.support.wire import WireClient, message

SESSIONS = [*PUBLISH_SESSIONS, *PLAY_SESSIONS]

ACCEPT_PUBLISH, END_PLAY = 1, 5  # places in the list of answers

NUMBERS = st.sampled_from([0, 1, 2, 3, -2000, 1e300, float("nan"), float("inf")])
VALUES = st.one_of(
    NUMBERS, st.booleans(), st.none(), st.just(UNDEFINED), st.sampled_from(["", "name", "a?b"])
)
VALUES |= st.lists(VALUES, max_size=2) | st.dictionaries(st.sampled_from(["app", "x"]), VALUES)


class RandomClient(RuleBasedStateMachine):
    """What a client may do, what the shell may answer, and what must hold whatever they do."""

    @initialize(connected=st.booleans())
    def begin(self, connected: bool) -> None:
        self.client = WireClient(RtmpLimits(max_message_streams=3), accepting=False)
        self.checked = 0
        self.stream: int | None = None  # publish or play that has been asked for
        self.publishing = False
        self.client.shake_hands()
        if connected:
            self.client.call("connect", 1, {"app": "live"})
            self.client.server.accept_connect()

    @rule(
        name=st.sampled_from(["connect", "connected?", *COMMANDS]),
        transaction_id=NUMBERS,
        values=st.lists(VALUES, max_size=4),
        stream_id=st.integers(0, 3),
    )
    def command(self, name: str, transaction_id: float, values: list[Any], stream_id: int) -> None:
        self.client.call(name, transaction_id, *values, stream_id=stream_id)

    @rule(name=st.sampled_from(["publish", "play"]), stream_id=st.integers(0, 3))
    def request(self, name: str, stream_id: int) -> None:
        self.client.call(name, 0, None, "name", stream_id=stream_id)

    @rule(type_id=st.integers(0, 23), body=st.binary(max_size=30), csid=st.integers(2, 8))
    def any_message(self, type_id: int, body: bytes, csid: int) -> None:
        self.client.send(message(type_id, body, csid=csid, stream_id=1, chunk_size=1000))

    @rule(stream_id=st.integers(0, 3), choice=st.integers(0, 7))
    def answer(self, stream_id: int, choice: int) -> None:
        server = self.client.server
        if choice > 0 and server.state in UNREADY_STATES and not server.closed:
            return  # by contract there is nothing to answer yet
        calls: list[Callable[[], bool]] = [
            server.accept_connect,
            lambda: server.accept_publish(stream_id),
            lambda: server.accept_play(stream_id),
            lambda: server.reject_publish(stream_id, "NetStream.Publish.BadName", "no"),
            lambda: server.reject_play(stream_id, "NetStream.Play.StreamNotFound", "no"),
            lambda: server.end_play(stream_id),
            lambda: server.end_publish(stream_id, "NetStream.Publish.BadName", "over"),
            lambda: server.request_reconnect(None, "draining"),
        ]
        done = calls[choice]()
        if done and choice == ACCEPT_PUBLISH:
            self.publishing = True
        if done and choice == END_PLAY:
            self.stream = None
        self.client.collect()

    @rule(seconds=st.sampled_from([0.1, 5.0, 11.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        self.client.now += seconds
        self.client.server.handle_deadline(self.client.now)
        due = self.client.server.next_deadline()
        assert due is None or due > self.client.now  # a timer can never spin
        self.client.collect()

    @rule()
    @precondition(lambda self: len(self.client.events) > 3)
    def hang_up(self) -> None:
        self.client.server.receive_eof(self.client.now)
        self.client.collect()

    @invariant()
    def events_are_legal(self) -> None:
        events = self.client.events
        for event in events[self.checked :]:
            self.check(event)
        self.checked = len(events)
        closed = [at for at, event in enumerate(events) if isinstance(event, Closed)]
        assert closed == ([len(events) - 1] if self.client.server.closed else [])

    def check(self, event: ServerEvent) -> None:
        match event:
            case PublishRequested() | PlayRequested():
                assert self.stream is None
                self.stream = event.stream_id
            case PublishStopped() | PlayStopped():
                assert self.stream == event.stream_id
                self.stream = None
                self.publishing = False
            case Message():
                assert self.publishing
                assert event.type_id in (8, 9, 18)

    @invariant()
    def answers_can_be_read(self) -> None:
        self.client.messages()


RandomClient.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestRandomClient = RandomClient.TestCase

patient = settings(deadline=None)  # the machine may be busy
CUTS = st.lists(st.integers(1, 700), min_size=1, max_size=8)


def run(data: bytes, cuts: list[int]) -> WireClient:
    client = WireClient()
    at = 0
    turn = 0
    while at < len(data):
        size = cuts[turn % len(cuts)]
        client.send(data[at : at + size])
        at += size
        turn += 1
    return client


@patient
@given(session=st.sampled_from(SESSIONS), cuts=CUTS)
def test_any_split_of_a_session_gives_the_same(session: Session, cuts: list[int]) -> None:
    whole, split = WireClient(), WireClient()
    for turn in session.turns:
        whole.send(turn)
        at = 0
        for size in [*cuts, len(turn)]:
            split.send(turn[at : at + size])
            at += size
    assert split.events == whole.events
    assert split.received == whole.received


@patient
@given(
    session=st.sampled_from(SESSIONS),
    at=st.integers(0, 8000),
    broken=st.binary(max_size=40),
    cuts=CUTS,
)
def test_a_broken_session_never_raises(
    session: Session, at: int, broken: bytes, cuts: list[int]
) -> None:
    data = b"".join(session.turns)
    at %= len(data)
    client = run(data[:at] + broken + data[at + len(broken) :], cuts)
    client.server.receive_eof(client.now)
    assert isinstance(client.collect().events[-1], Closed)


@patient
@given(data=st.binary(max_size=300), cuts=CUTS, handshake=st.booleans())
def test_any_bytes_never_raise(data: bytes, cuts: list[int], handshake: bool) -> None:
    client = WireClient()
    if handshake:
        client.connect()
    for size in cuts:
        client.send(data[:size])
        data = data[size:]
