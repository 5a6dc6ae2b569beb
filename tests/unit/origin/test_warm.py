"""What a standby has sent goes into its stream when it is promoted, on the stream's clock."""

import asyncio

import pytest

from common.config.model import FanoutSettings, GopSettings
from common.ids import StreamKey
from common.media.flv_file import FlvTag
from common.media.packet import Packet
from common.media.timeline import FRAME_MS, Timeline
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message
from common.stream.flusher import Flusher
from common.stream.ingest import StreamFeed
from common.stream.live import LiveStream
from origin.warm import WarmStream
from tests.support.spine import frame_name, make_frames, make_headers

LIMITS = RtmpLimits()


class KeptStream(LiveStream):
    def __init__(self) -> None:
        flusher = Flusher(FanoutSettings(), asyncio.get_running_loop())
        super().__init__(StreamKey("live/a"), GopSettings(), flusher)
        self.pushed: list[Packet] = []

    def push(self, packet: Packet) -> None:
        self.pushed.append(packet)
        super().push(packet)


def send(feed: StreamFeed, tags: list[FlvTag], offset: int = 0) -> None:
    for tag in tags:
        wire = (tag.timestamp + offset) & 0xFFFFFFFF
        feed.take([Message(tag.type_id, wire, 1, tag.payload)])


@pytest.mark.parametrize("offset", [0, 5_000, 1 << 31, (1 << 32) - 1_000])
@pytest.mark.parametrize("published", [0, 12, 3_000])
async def test_stream_goes_on_with_headers_and_last_gop_one_frame_after_its_end(
    offset: int, published: int
) -> None:
    live, timeline = KeptStream(), Timeline()
    send(StreamFeed(live, timeline, LIMITS), [*make_headers(), *make_frames("a", published)])
    last = timeline.last_out

    warm = WarmStream(KeptStream())
    feed = StreamFeed(warm.live, warm.timeline, LIMITS)
    send(feed, [*make_headers(), *make_frames("b", 8)], offset)
    live.pushed.clear()

    live.begin_session()
    timeline.begin_session()
    feed = StreamFeed(live, warm.pour(live, timeline), LIMITS)
    assert [each.payload for each in live.pushed[:2]] == [tag.payload for tag in make_headers()]
    send(feed, make_frames("b", 12)[8:], offset)
    frames = live.pushed[2:]
    assert [frame_name(each.payload) for each in frames] == [f"b-{n}" for n in range(5, 12)]
    first = last + FRAME_MS if published else 0
    assert [each.timestamp for each in frames] == [first + 40 * n for n in range(7)]
    assert timeline.jumps == 0


async def test_standby_without_a_whole_gop_begins_at_its_next_keyframe() -> None:
    warm = WarmStream(KeptStream())
    feed = StreamFeed(warm.live, warm.timeline, LIMITS)
    send(feed, [*make_headers(), *make_frames("b", 3)[1:]])
    live, timeline = KeptStream(), Timeline()
    feed = StreamFeed(live, warm.pour(live, timeline), LIMITS)
    send(feed, make_frames("b", 8)[3:])
    assert [frame_name(each.payload) for each in live.gop.packets] == [f"b-{n}" for n in (5, 6, 7)]
    assert live.codecs == ("avc1", "mp4a")
