"""What a publisher sends is the clip, in real chunks, with the present time in each picture."""

from pathlib import Path

from common.media.flv import classify
from common.media.packet import Role
from common.rtmp.chunk_reader import ChunkReader
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import Message, MessageType
from tests.bench.clip import Clip
from tests.bench.opening import PUBLISH_CHUNK_SIZE
from tests.bench.publishers.wire import WireClip
from tests.bench.stamp import unstamp
from tests.bench.synthetic import synthetic_flv
from tests.support.chunks import set_chunk_size


def clip_in(folder: Path) -> Clip:
    path = folder / "clip.flv"
    path.write_bytes(synthetic_flv(4, 30))
    return Clip.load(path)


def read(data: bytes) -> list[Message]:
    reader = ChunkReader(RtmpLimits())
    messages = reader.feed(set_chunk_size(PUBLISH_CHUNK_SIZE) + data)
    assert reader.unfinished_bytes == 0
    return messages


def test_the_synthetic_clip_is_like_the_real_one(tmp_path: Path) -> None:
    clip = clip_in(tmp_path)
    roles = [classify(tag.type_id, tag.payload).role for tag in clip.media]
    assert 950 < clip.kbps < 1100
    assert 76 < clip.messages_per_s < 78
    assert clip.duration_ms == 4000
    assert roles.count(Role.KEYFRAME) == 2
    assert [tag.type_id for tag in clip.prelude] == [18, 9, 8]


def test_the_wire_holds_the_clip_over_and_over(tmp_path: Path) -> None:
    clip = clip_in(tmp_path)
    wire = WireClip(clip, 1)
    count = len(clip.media) + 7
    messages = read(b"".join(wire.message(index) for index in range(count)))
    assert len(messages) == count
    for index, message in enumerate(messages):
        wanted = clip.message(index)
        sent_ns, payload = unstamp(message.payload)
        assert (message.type_id, message.timestamp) == (wanted.type_id, wanted.timestamp)
        assert payload == wanted.payload
        assert (sent_ns is not None) == (message.type_id == MessageType.VIDEO)


def test_sound_waits_for_the_next_picture(tmp_path: Path) -> None:
    clip = clip_in(tmp_path)
    wire = WireClip(clip, 1)
    due = [wire.due_ms(index) for index in range(len(clip.media))]
    assert due == sorted(due)
    for index, due_ms in enumerate(due):
        following = (clip.message(each) for each in range(index, 2 * len(clip.media)))
        picture = next(tag for tag in following if tag.type_id == MessageType.VIDEO)
        assert due_ms == picture.timestamp
    assert len(set(due)) <= 121, "a burst for each picture, and one with the next loop's first"


def test_headers_come_first_and_carry_no_stamp(tmp_path: Path) -> None:
    clip = clip_in(tmp_path)
    messages = read(WireClip(clip, 1).prelude)
    assert [message.payload for message in messages] == [tag.payload for tag in clip.prelude]
