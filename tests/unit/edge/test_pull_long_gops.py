"""Streams whose GOPs are longer than what is kept of them: viewers wait for the next keyframe."""

from collections.abc import Awaitable, Callable

import pytest

from common.media.flv_file import FlvTag
from common.rtmp.message import MessageType
from common.stream.viewer import ViewerKind
from edge.pull import PullState
from edge.rendezvous import owner_of
from edge.target import Source as From
from tests.support.edge_worker import Edge, order
from tests.support.fanout import RELAY, FakeViewer
from tests.support.sources import Source
from tests.support.spine import STREAM, make_frames, make_headers
from tests.support.wait import until
from tests.support.zones import HERE, edge_node, origin_node, put_nodes

SIBLING = next(slot for slot in range(1, 100) if owner_of(STREAM, {0, slot}) == slot)
PARENT = next(
    n for n in map("edge-{}".format, range(2, 100)) if owner_of(STREAM, (n, "edge-1")) == n
)
HEADERS = [tag.payload for tag in make_headers()]
IMPATIENT = {
    "node": {"zone": HERE},
    "edge": {"zone_relay": True, "hold_s": 0.3},
    "relay": {"first_byte_timeout_s": 0.3, "silence_s": 0.3},
}
PINGS = 8
"""As many take more than twice as long as any of these times."""


@pytest.fixture
def sections() -> dict[str, dict[str, object]]:
    return IMPATIENT


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The answers to pings."""
    round_trips: list[float] = []
    monkeypatch.setattr(From, "note_round_trip", lambda _, seconds: round_trips.append(seconds))
    return round_trips


async def from_origin(edge: Edge) -> Source:
    source = await edge.source()
    await edge.claim(source)
    return source


async def from_sibling(edge: Edge) -> Source:
    edge.streams.members_changed(frozenset({0, SIBLING}))
    return await edge.source(SIBLING)


async def from_parent(edge: Edge) -> Source:
    await from_origin(edge)
    source = await edge.source()
    await put_nodes(edge.directory, origin_node(), edge_node("edge-1", "h:1"))
    await put_nodes(edge.directory, edge_node(PARENT, source.address))
    await edge.zone.refresh()
    return source


def within_a_gop(source: Source) -> None:
    """Have a keyframe behind, and all that was kept of its GOP given up."""
    source.begin(4711)
    source.send("a", 1)
    source.send_tags([FlvTag(MessageType.VIDEO, 15_000, make_frames("a", 2)[1].payload)])
    assert not source.streams[STREAM].gop.packets


@pytest.mark.parametrize("way", [from_origin, from_sibling, from_parent])
async def test_viewer_waits_for_the_keyframe_however_far_away_it_is(
    edge: Edge, answers: list[float], way: Callable[[Edge], Awaitable[Source]]
) -> None:
    source = await way(edge)
    within_a_gop(source)
    recorder = await edge.watch()
    await until(lambda: len(answers) >= PINGS)
    assert edge.pull().state is PullState.STREAMING
    assert recorder.messages == []
    source.send("b", 3, first=1000)
    await until(lambda: recorder.frames == ["b-1000", "b-1001", "b-1002"])
    assert recorder.times[0] == 40_000
    assert len(source.orders) == 1
    assert edge.directory.calls["suspect"] == 0


@pytest.mark.parametrize("kind", [ViewerKind.SIBLING, ViewerKind.RELAY])
async def test_relay_behind_is_told_as_early(edge: Edge, kind: ViewerKind) -> None:
    within_a_gop(await from_origin(edge))
    live = await edge.streams.acquire(order(kind=kind))
    behind = FakeViewer(kind=kind)
    await until(lambda: live.headers.codecs == ("avc1", "mp4a"))
    live.attach(behind.viewer, RELAY, 0.0)
    assert behind.payloads()[-2:] == HEADERS
