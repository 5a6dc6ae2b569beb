"""FLV files are read or refused; what was read can be written and read again."""

from common.errors import MediaError
from common.media.flv_file import FlvTag, file_header, read_tags, tag


def target(data: bytes) -> None:
    """Read ``data`` as far as it goes, write it, read that."""
    tags: list[FlvTag] = []
    try:
        tags.extend(read_tags(data))
    except MediaError:
        return
    written = file_header(audio=True, video=True) + b"".join(tag(*each) for each in tags)
    again = list(read_tags(written))
    assert [each.payload for each in again] == [each.payload for each in tags]
    assert all(
        new.timestamp == old.timestamp & 0x7FFFFFFF for new, old in zip(again, tags, strict=True)
    )
