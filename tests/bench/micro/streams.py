"""What the micro-benchmarks work on: the messages of a usual stream."""

from pathlib import Path
from tempfile import TemporaryDirectory

from common.media.flv import classify
from common.media.packet import Packet
from common.rtmp.chunk_writer import CSID_AUDIO, CSID_VIDEO, chunk_message
from common.rtmp.message import MessageType
from tests.bench.clip import Clip
from tests.bench.synthetic import synthetic_flv

SECONDS = 2


def load_clip() -> Clip:
    """Return two seconds of the synthetic clip, the same on every machine."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "clip.flv")
        path.write_bytes(synthetic_flv(SECONDS, 30))
        return Clip.load(path)


def packets_of(clip: Clip) -> list[Packet]:
    """Return the messages as a worker's fan-out gets them."""
    return [
        Packet(tag.type_id, tag.timestamp, tag.payload, found.role, found.codec)
        for tag in clip.media
        for found in [classify(tag.type_id, tag.payload)]
    ]


def chunks_of(clip: Clip, chunk_size: int) -> bytes:
    """Return the messages as they come from a publisher."""
    csids = {int(MessageType.AUDIO): CSID_AUDIO, int(MessageType.VIDEO): CSID_VIDEO}
    return b"".join(
        chunk_message(
            tag.type_id,
            tag.timestamp,
            1,
            tag.payload,
            csid=csids[tag.type_id],
            chunk_size=chunk_size,
        )
        for tag in clip.media
    )
