"""One pull: from a node in this process, and from servers that do less than a node does."""

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from common.errors import RelayError
from common.ids import NodeId, StreamKey
from common.media.packet import Role
from common.net.hello import RelayHello
from common.relay.upstream import Upstream, UpstreamAddress, UpstreamTimes, open_upstream
from common.rtmp.events import ConnectRequested, PlayRequested
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message, MessageType
from common.rtmp.server import ServerConnection
from common.stream.viewer import ViewerKind
from tests.support.black_hole import black_hole
from tests.support.pair import fixed_bytes
from tests.support.rtmp_node import HOST, NODE, STREAM, Node, running_node
from tests.support.wait import until
from tests.support.wire import message

HELLO = RelayHello(node=NodeId("edge-1"), hops=(NodeId("edge-1"),))
PATIENT = UpstreamTimes(connect_s=5, first_media_s=20, silence_s=20)
WATCHFUL = replace(PATIENT, first_ping_s=0.01)
OFTEN = replace(WATCHFUL, ping_s=0.02)


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    async with running_node() as running:
        yield running


class Pull:
    """A pull and what came of it."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.round_trips: list[float] = []
        self.on_media: Callable[[list[Message]], None] = self.messages.extend
        self.streamed_after: list[int] = []  # how many messages had come each time that it was said
        self.upstream: Upstream

    @property
    def media(self) -> list[bytes]:
        return [each.payload for each in self.messages]

    def note_first_media(self) -> None:
        self.streamed_after.append(len(self.messages))

    async def outcome(self) -> RelayError:
        async with asyncio.timeout(10):
            return await asyncio.shield(self.upstream.ended)


@asynccontextmanager
async def pulling(
    address: UpstreamAddress,
    stream: StreamKey = STREAM,
    times: UpstreamTimes = PATIENT,
    properties: dict[str, Any] | None = None,
) -> AsyncIterator[Pull]:
    """Pulls for the length of the block."""
    pull = Pull()
    pull.upstream = await open_upstream(
        address,
        stream,
        limits=RtmpLimits(),
        times=times,
        properties=HELLO.to_properties() if properties is None else properties,
        on_media=lambda messages: pull.on_media(messages),
        on_first_media=pull.note_first_media,
        on_round_trip=pull.round_trips.append,
    )
    try:
        yield pull
    finally:
        pull.upstream.close()


def at(port: int) -> UpstreamAddress:
    return UpstreamAddress(host=HOST, port=port)


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def other_server(handler: Handler) -> AsyncIterator[int]:
    """Runs a server that is none of ours; ``handler`` ends with its connection."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def serve(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    *,
    after_start: bytes = b"",
    stops_at_start: bool = False,
) -> None:
    """Speaks as a server does until Play.Start; then says ``after_start``, and no more or on."""
    core = ServerConnection(RtmpLimits(), now=0, chunk_size=4096, random_bytes=fixed_bytes)
    while data := await reader.read(65_536):
        core.receive_data(data, 0)
        for event in core.events():
            if isinstance(event, ConnectRequested):
                core.accept_connect()
            elif isinstance(event, PlayRequested):
                core.accept_play(event.stream_id)
        answer = core.data_to_send()
        writer.write(answer)
        if b"NetStream.Play.Start" in answer:
            writer.write(after_start)
            if stops_at_start:
                await asyncio.Event().wait()


# A good pull


async def test_a_pull_brings_headers_the_gop_and_what_follows(node: Node) -> None:
    node.begin_stream()
    async with pulling(at(node.port)) as pull:
        await until(lambda: pull.media == [b"VH1", b"K1"])
        node.push(Role.FRAME, b"F1")
        await until(lambda: pull.media == [b"VH1", b"K1", b"F1"])
        assert pull.streamed_after == [2]
        assert list(node.stream.viewers.values()) == [ViewerKind.RELAY]
        assert node.role.orders[0].hello == HELLO
        assert pull.upstream.bytes_in > 3073  # the handshake alone


async def test_a_pull_that_is_closed_leaves_in_good_order(node: Node) -> None:
    node.begin_stream()
    async with pulling(at(node.port)) as pull:
        await until(lambda: bool(pull.messages))
        pull.upstream.close()
        assert (await pull.outcome()).reason == "left"
        pull.upstream.close()
        await until(lambda: node.role.left == 1)
        await until(lambda: not node.connections)


async def test_nothing_comes_after_a_pull_was_closed_even_of_the_same_read(node: Node) -> None:
    node.begin_stream()
    async with pulling(at(node.port)) as pull:
        reads: list[list[Message]] = []

        def take_one(messages: list[Message]) -> None:
            reads.append(messages)
            pull.upstream.close()

        pull.on_media = take_one
        assert (await pull.outcome()).reason == "left"
        await until(lambda: not node.connections)
        assert len(reads) == 1


async def test_a_parent_that_is_cut_off_in_a_message_is_silent_and_not_without_the_stream() -> None:
    whole = message(MessageType.VIDEO, b"\x17\x01" + bytes(50), timestamp=40, csid=6, stream_id=1)
    cut = message(MessageType.VIDEO, b"\x27\x01" + bytes(90), timestamp=80, csid=6, stream_id=1)[
        :40
    ]

    async def fall_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def say_the_rest() -> None:
            await until(lambda: bool(pull.messages))
            writer.write(cut)

        rest = asyncio.ensure_future(say_the_rest())
        await serve(reader, writer, after_start=whole, stops_at_start=True)
        await rest

    times = UpstreamTimes(connect_s=5, first_media_s=20, silence_s=0.4, media_silence_s=0.4)
    async with other_server(fall_silent) as port, pulling(at(port), times=times) as pull:
        assert (await pull.outcome()).reason == "silent"


async def test_silence_is_noticed_when_it_is_due_not_at_the_next_look() -> None:
    async def stop_answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(reader, writer, stops_at_start=True)

    times = replace(PATIENT, silence_s=0.3, first_ping_s=60.0)
    async with other_server(stop_answering) as port, pulling(at(port), times=times) as pull:
        assert (await pull.outcome()).reason == "silent"


async def test_a_quiet_stream_stays_alive_however_short_the_patience(node: Node) -> None:
    node.begin_stream()
    times = UpstreamTimes(connect_s=5, first_media_s=20, silence_s=0.6)
    async with pulling(at(node.port), times=times) as pull:
        await until(lambda: len(pull.round_trips) >= 8, timeout_s=15)
        assert not pull.upstream.ended.done()


async def test_pings_are_answered_and_measured(node: Node) -> None:
    node.begin_stream()
    async with pulling(at(node.port), times=OFTEN) as pull:
        await until(lambda: len(pull.round_trips) >= 3)
        assert all(0 <= each < 5 for each in pull.round_trips)


async def test_answers_to_pings_keep_a_quiet_stream_alive(node: Node) -> None:
    node.begin_stream()
    times = replace(OFTEN, silence_s=1)
    async with pulling(at(node.port), times=times) as pull:
        await until(lambda: bool(pull.messages))
        since = monotonic()
        await until(lambda: monotonic() - since > 1.2)
        assert not pull.upstream.ended.done()


async def test_a_stream_that_comes_is_pinged_only_to_measure_the_way(node: Node) -> None:
    node.begin_stream()
    async with pulling(at(node.port), times=replace(WATCHFUL, ping_s=0.3)) as pull:
        await until(lambda: bool(pull.round_trips))
        since = monotonic()
        while monotonic() - since < 1.5:
            seen = len(pull.messages)
            node.push(Role.FRAME, b"F1")
            await until(lambda seen=seen: len(pull.messages) > seen)
            await asyncio.sleep(0.01)  # as frames come
        pinged = len(pull.round_trips)
        assert pinged <= 3  # once, and after a stall of this machine; not five times
        await until(lambda: len(pull.round_trips) >= pinged + 2)  # now that nothing comes


async def test_a_sibling_is_pulled_from_over_its_socket(node: Node) -> None:
    node.begin_stream()
    with tempfile.TemporaryDirectory(prefix="hw-") as folder:
        path = Path(folder) / "worker-0.sock"
        await node.server.listen_siblings(path)
        own = RelayHello(node=NODE, hops=(NODE,)).to_properties()
        async with pulling(UpstreamAddress(unix=path), properties=own) as pull:
            await until(lambda: pull.media == [b"VH1", b"K1"])
            assert list(node.stream.viewers.values()) == [ViewerKind.SIBLING]


@pytest.mark.parametrize("key", ["live/a/b", "live/name@example.org"])
async def test_the_other_end_finds_the_same_key(key: str) -> None:
    async with running_node(vhosts=["example.org"]) as node:
        stream = node.role.streams[StreamKey(key)] = node.new_stream(StreamKey(key))
        node.push(Role.KEYFRAME, b"K9", stream)
        async with pulling(at(node.port), StreamKey(key)) as pull:
            await until(lambda: pull.media == [b"K9"])


# What a server says


async def test_a_stream_that_is_not_there_is_not_found(node: Node) -> None:
    async with pulling(at(node.port), StreamKey("live/nothing")) as pull:
        outcome = await pull.outcome()
    assert outcome.reason == "not_found"
    assert "live/nothing" in outcome.detail


async def test_a_refusal_is_told_with_its_words(node: Node) -> None:
    loop = RelayHello(node=NodeId("edge-1"), hops=(NODE, NodeId("edge-1"))).to_properties()
    async with pulling(at(node.port), properties=loop) as pull:
        outcome = await pull.outcome()
    assert outcome.reason == "refused"
    assert "loop" in outcome.detail


async def test_the_end_of_the_stream_ends_the_pull_after_its_last_frame(node: Node) -> None:
    node.begin_stream()
    async with pulling(at(node.port)) as pull:
        await until(lambda: bool(pull.messages))
        node.push(Role.FRAME, b"last")
        node.stream.end("unpublished")
        outcome = await pull.outcome()
    assert outcome.reason == "ended"
    assert pull.media[-1] == b"last"


async def test_a_connection_that_breaks_is_lost() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async with other_server(hang_up) as port, pulling(at(port)) as pull:
        assert (await pull.outcome()).reason == "lost"


async def test_a_server_that_speaks_something_else_is_no_source() -> None:
    async def speak_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(4000))
        await reader.read()

    async with other_server(speak_http) as port, pulling(at(port)) as pull:
        assert (await pull.outcome()).reason == "closed"


# What a server does not say


@pytest.mark.parametrize("starts", [False, True])
async def test_a_server_that_stops_answering_is_silent(starts: bool) -> None:
    async def stop_answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if starts:
            await serve(reader, writer, stops_at_start=True)
        await asyncio.Event().wait()

    times = replace(OFTEN, silence_s=0.2)
    async with other_server(stop_answering) as port, pulling(at(port), times=times) as pull:
        assert (await pull.outcome()).reason == "silent"


async def test_a_server_that_answers_but_has_no_media_is_given_up() -> None:
    times = replace(WATCHFUL, first_media_s=0.2)
    async with other_server(serve) as port, pulling(at(port), times=times) as pull:
        assert (await pull.outcome()).reason == "no_media"


async def test_stream_that_pauses_is_given_up_only_where_that_is_wanted(node: Node) -> None:
    node.begin_stream()
    patient = WATCHFUL
    hasty = replace(WATCHFUL, media_silence_s=0.3)
    async with (
        pulling(at(node.port), times=patient) as staying,
        pulling(at(node.port), times=hasty) as pull,
    ):
        outcome = await pull.outcome()
        assert (outcome.reason, pull.media) == ("no_media", [b"VH1", b"K1"])
        assert not staying.upstream.ended.done()


async def test_headers_are_media_and_what_they_are_for_may_be_far_away() -> None:
    picture = asyncio.Event()

    async def send_header(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        header = message(MessageType.VIDEO, b"\x17\x00\x00\x00\x00avcC", stream_id=1)
        rest = asyncio.ensure_future(serve(reader, writer, after_start=header))
        await picture.wait()
        writer.write(message(MessageType.VIDEO, b"\x17\x01\x00\x00\x00K1", stream_id=1))
        await rest

    times = replace(OFTEN, first_media_s=0.1, media_silence_s=0.1)
    async with other_server(send_header) as port, pulling(at(port), times=times) as pull:
        await until(lambda: len(pull.round_trips) >= 10)  # at least 0.2 s
        assert pull.streamed_after == [1]
        picture.set()
        assert (await pull.outcome()).reason == "no_media"
        assert len(pull.messages) == 2


async def test_metadata_alone_is_no_media() -> None:
    metadata = b"\x02\x00\x0aonMetaData\x08\x00\x00\x00\x00\x00\x00\x09"

    async def send_metadata(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = message(MessageType.DATA_AMF0, metadata, stream_id=1)
        await serve(reader, writer, after_start=data)

    times = UpstreamTimes(connect_s=5, first_media_s=0.3, silence_s=20)
    async with other_server(send_metadata) as port, pulling(at(port), times=times) as pull:
        assert (await pull.outcome()).reason == "no_media"
        assert pull.media == [metadata]


# No connection


async def test_a_port_where_nobody_listens_is_told_at_once() -> None:
    with socket.socket() as sock:
        sock.bind((HOST, 0))  # and not listened on
        with pytest.raises(RelayError) as error:
            async with pulling(at(sock.getsockname()[1])):
                pass
    assert error.value.reason == "connect_failed"


async def test_a_sibling_that_is_gone_is_told_at_once() -> None:
    with pytest.raises(RelayError) as error:
        async with pulling(UpstreamAddress(unix=Path("/nonexistent/worker-1.sock"))):
            pass
    assert error.value.reason == "connect_failed"


async def test_a_host_that_does_not_answer_is_given_up_in_time() -> None:
    times = UpstreamTimes(connect_s=0.2, first_media_s=5, silence_s=5)
    with black_hole() as address, pytest.raises(RelayError) as error:
        async with pulling(UpstreamAddress.parse(address), times=times):
            pass
    assert error.value.reason == "connect_timeout"


# Addresses


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.0.0.1:1935", "10.0.0.1", 1935),
        ("origin-0.origins:19350", "origin-0.origins", 19350),
        ("[2001:db8::1]:1935", "2001:db8::1", 1935),
    ],
)
def test_an_address_is_parsed_and_written_alike(text: str, host: str, port: int) -> None:
    address = UpstreamAddress.parse(text)
    assert (address.host, address.port) == (host, port)
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    ["", "host", "host:", ":1935", "host:0", "host:70000", "host:²", "::1:1935", "a b:1", "h:1x"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(RelayError) as error:
        UpstreamAddress.parse(text)
    assert error.value.reason == "bad_address"


def test_a_sibling_is_named_by_its_socket() -> None:
    assert str(UpstreamAddress(unix=Path("/run/headwater/worker-3.sock"))) == "worker-3.sock"
