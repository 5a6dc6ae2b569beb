from io import BytesIO

import pytest

from common.errors import MediaError, UsageError
from common.media.flv_file import FlvTag, file_header, read_tags, tag

HEADER = file_header(audio=True, video=True)


def test_what_is_written_is_read() -> None:
    tags = [FlvTag(18, 0, b"meta"), FlvTag(9, 0x1234567, b"v" * 300), FlvTag(8, 5, b"")]
    data = HEADER + b"".join(tag(*each) for each in tags)
    assert list(read_tags(data)) == tags
    assert list(read_tags(BytesIO(data))) == tags


def test_the_layout_is_that_of_the_specification() -> None:
    assert HEADER == b"FLV\x01\x05\0\0\0\x09\0\0\0\0"
    written = tag(9, 0x01020304, b"ab")
    assert written.hex() == "090000020203040100000061620000000d"


@pytest.mark.parametrize(
    ("audio", "video", "flags"), [(True, False, 4), (False, True, 1), (False, False, 0)]
)
def test_the_flags_say_which_tracks_there_are(audio: bool, video: bool, flags: int) -> None:
    assert file_header(audio=audio, video=video)[4] == flags


def test_times_wrap_at_31_bits() -> None:
    (read,) = read_tags(HEADER + tag(9, (1 << 35) + (1 << 31) + 7, b"x"))
    assert read.timestamp == 7


def test_a_missing_last_back_pointer_is_tolerated() -> None:
    assert len(list(read_tags(HEADER + tag(8, 0, b"abc")[:-4]))) == 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not_flv"),
        (b"FLV\x01", "not_flv"),
        (b"MP4\x01\x05\0\0\0\x09\0\0\0\0", "not_flv"),
        (b"FLV\x01\x05\xff\0\0\x09\0\0\0\0", "not_flv"),
        (b"FLV\x01\x05\0\0\0\x08\0\0\0\0", "not_flv"),
        (HEADER + b"\x09\0\0", "truncated"),
        (HEADER + tag(9, 0, b"abcdef")[:-6], "truncated"),
        (HEADER + b"\x29\0\0\0\0\0\0\0\0\0\0", "encrypted"),
    ],
)
def test_what_is_no_flv_raises(data: bytes, reason: str) -> None:
    with pytest.raises(MediaError) as caught:
        list(read_tags(data))
    assert caught.value.reason == reason


def test_a_longer_file_header_is_skipped() -> None:
    data = b"FLV\x01\x05\0\0\0\x0bxx\0\0\0\0" + tag(9, 0, b"x")
    assert [each.payload for each in read_tags(data)] == [b"x"]


def test_a_body_over_24_bits_is_our_mistake() -> None:
    with pytest.raises(UsageError, match="16777216"):
        tag(9, 0, bytes(1 << 24))
