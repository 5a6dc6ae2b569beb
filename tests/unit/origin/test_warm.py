"""What a standby has sent goes into its stream when it is promoted, on the stream's clock."""

import pytest

from common.media.flv_file import FlvTag
from common.media.timeline import FRAME_MS, Timeline
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message
from common.stream.ingest import StreamFeed
from origin.warm import WarmStream
from tests.support.fanout import RELAY, Fanout
from tests.support.spine import frame_name, make_frames, make_headers

LIMITS = RtmpLimits()


def send(feed: StreamFeed, tags: list[FlvTag], offset: int = 0) -> None:
    for tag in tags:
        wire = (tag.timestamp + offset) & 0xFFFFFFFF
        feed.take([Message(tag.type_id, wire, 1, tag.payload)])


@pytest.mark.parametrize("offset", [0, 5_000, 1 << 31, (1 << 32) - 1_000])
@pytest.mark.parametrize("published", [0, 12, 3_000])
def test_stream_goes_on_with_headers_and_last_gop_one_frame_after_its_end(
    offset: int, published: int
) -> None:
    fanout, timeline = Fanout(), Timeline()
    live = fanout.stream
    relay = fanout.watch(RELAY)
    send(StreamFeed(live, timeline, LIMITS), [*make_headers(), *make_frames("a", published)])
    last = timeline.last_out

    warm = WarmStream(Fanout().stream)
    feed = StreamFeed(warm.live, warm.timeline, LIMITS)
    send(feed, [*make_headers(), *make_frames("b", 8)], offset)
    fanout.flush()
    before = len(relay.messages())

    live.begin_session()
    timeline.begin_session()
    feed = StreamFeed(live, warm.pour(live, timeline), LIMITS)
    fanout.flush()
    send(feed, make_frames("b", 12)[8:], offset)
    fanout.flush()
    headers, frames = relay.messages()[before:][:2], relay.messages()[before:][2:]
    assert [each.payload for each in headers] == [tag.payload for tag in make_headers()]
    assert [frame_name(each.payload) for each in frames] == [f"b-{n}" for n in range(5, 12)]
    first = last + FRAME_MS if published else 0
    assert [each.timestamp for each in frames] == [first + 40 * n for n in range(7)]
    assert timeline.jumps == 0


def test_standby_without_a_whole_gop_begins_at_its_next_keyframe() -> None:
    warm = WarmStream(Fanout().stream)
    feed = StreamFeed(warm.live, warm.timeline, LIMITS)
    send(feed, [*make_headers(), *make_frames("b", 3)[1:]])
    live, timeline = Fanout().stream, Timeline()
    feed = StreamFeed(live, warm.pour(live, timeline), LIMITS)
    send(feed, make_frames("b", 8)[3:])
    assert [frame_name(each.payload) for each in live.gop.packets] == [f"b-{n}" for n in (5, 6, 7)]
    assert live.codecs == ("avc1", "mp4a")
