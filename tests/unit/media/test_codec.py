import pytest

from common.media.codec import LEGACY_AUDIO_NAMES, LEGACY_VIDEO_NAMES, codec_name


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (7.0, "avc1"),
        (12, "hvc1"),
        (1752589105.0, "hvc1"),
        (1635135537.0, "av01"),
        ("avc1", "avc1"),
        ("av01", "av01"),
        (0.0, ""),
        (-1.0, ""),
        (float("nan"), ""),
        (float("inf"), ""),
        (2.0**40, ""),
        ("\udcff\udcfe", ""),
        ("something", ""),
        (None, ""),
        ({}, ""),
    ],
)
def test_a_video_codec_is_named_however_it_is_spelled(value: object, expected: str) -> None:
    assert codec_name(value, LEGACY_VIDEO_NAMES) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(10.0, "mp4a"), (2.0, "mp3"), (778924083.0, "mp3"), ("mp4a", "mp4a")]
)
def test_an_audio_codec_is_named_however_it_is_spelled(value: object, expected: str) -> None:
    assert codec_name(value, LEGACY_AUDIO_NAMES) == expected
