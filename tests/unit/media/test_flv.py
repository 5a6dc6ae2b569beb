import pytest

from common.errors import MediaError
from common.media import flv
from common.media.flv import (
    SEVERAL_TRACKS,
    Classified,
    classify,
    composition_time_ms,
    is_coded,
    track_ids,
)
from common.media.packet import Role

AUDIO, VIDEO = 8, 9
BODY = bytes(range(64))
DROP = Classified(Role.DROP)


def video(head: str, body: bytes = BODY) -> Classified:
    return classify(VIDEO, bytes.fromhex(head) + body)


def audio(head: str, body: bytes = BODY) -> Classified:
    return classify(AUDIO, bytes.fromhex(head) + body)


def multitrack(first: str, kind: str, *tracks: bytes) -> bytes:
    return bytes.fromhex(first + kind) + b"".join(tracks)


def sized(track_id: int, data: bytes, fourcc: bytes = b"") -> bytes:
    return fourcc + bytes((track_id,)) + len(data).to_bytes(3, "big") + data


# conformance 73
@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("17 00 000000", Classified(Role.VIDEO_HEADER, "avc1")),
        ("17 01 000000", Classified(Role.KEYFRAME, "avc1")),
        ("47 01 000000", Classified(Role.KEYFRAME, "avc1")),  # generated key frame
        ("27 01 000000", Classified(Role.FRAME, "avc1")),
        ("37 01 000000", Classified(Role.FRAME, "avc1")),
        ("17 02 000000", Classified(Role.END, "avc1")),
        ("1c 00 000000", Classified(Role.VIDEO_HEADER, "hvc1")),
        ("1c 01 000000", Classified(Role.KEYFRAME, "hvc1")),
        ("2d 01 000000", Classified(Role.FRAME, "av01")),
        ("1d 00 000000", Classified(Role.VIDEO_HEADER, "av01")),
        ("12", Classified(Role.KEYFRAME, "h263")),
        ("22", Classified(Role.FRAME, "h263")),
        ("14", Classified(Role.KEYFRAME, "vp6")),
        ("1f", Classified(Role.KEYFRAME, "")),  # unknown: passed on [SRS #2504]
        ("57 00", DROP),  # seek marker
        ("52 01", DROP),
    ],
)
def test_c73_legacy_video(head: str, expected: Classified) -> None:
    assert video(head) == expected


def test_c73_an_end_of_sequence_without_a_body_is_no_keyframe() -> None:
    assert video("17 02 000000", b"") == Classified(Role.END, "avc1")  # as ffmpeg sends it
    assert video("17 02", b"") == Classified(Role.END, "avc1")


@pytest.mark.parametrize("head", ["", "12", "17 00 000000", "17 01 000000"])
def test_video_without_anything_to_play_is_dropped(head: str) -> None:
    assert video(head, b"") == DROP


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ("17", "truncated"),
        ("17 01 0000", "truncated"),
        ("17 03 000000 00", "reserved_packet_type"),
        ("90", "truncated"),
        ("98 68766331 00", "reserved_packet_type"),
        ("91 617663", "truncated"),
        ("91 61766331 0000", "truncated"),
        ("97 05 00", "truncated"),
        ("97 ff 00", "truncated"),
        ("d6", "truncated"),
        ("96", "truncated"),
        ("96 01 61766331", "truncated"),
        ("96 11 61766331 00 0000", "truncated"),
        ("96 11 61766331", "truncated"),
        ("96 06 61766331 00", "nested_multitrack"),
        ("96 07 61766331 00", "nested_multitrack"),
        ("96 31 61766331 00", "multitrack_type"),
    ],
)
def test_broken_video_raises(head: str, reason: str) -> None:
    with pytest.raises(MediaError) as caught:
        video(head, b"")
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("af 00", Classified(Role.AUDIO_HEADER, "mp4a")),
        ("af 01", Classified(Role.AUDIO, "mp4a")),
        ("a2 00", Classified(Role.AUDIO_HEADER, "mp4a")),
        ("2f", Classified(Role.AUDIO, "mp3")),
        ("e2", Classified(Role.AUDIO, "mp3")),
        ("32", Classified(Role.AUDIO, "pcm")),
        ("72", Classified(Role.AUDIO, "alaw")),
        ("82", Classified(Role.AUDIO, "ulaw")),
        ("b2", Classified(Role.AUDIO, "speex")),
        ("c2", Classified(Role.AUDIO, "")),
    ],
)
def test_legacy_audio(head: str, expected: Classified) -> None:
    assert audio(head) == expected


# conformance 35 (codec part)
@pytest.mark.parametrize("head", ["", "af 00", "af 01", "2f", "91 6d703461", "90 6d703461"])
def test_c35_audio_without_anything_to_play_is_dropped(head: str) -> None:
    assert audio(head, b"") == DROP


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ("af", "truncated"),
        ("af 02 00", "reserved_packet_type"),
        ("93 4f707573", "reserved_packet_type"),
        ("98 4f707573", "reserved_packet_type"),
        ("91 4f70", "truncated"),
        ("95", "truncated"),
        ("95 15 4f707573", "nested_multitrack"),
    ],
)
def test_broken_audio_raises(head: str, reason: str) -> None:
    with pytest.raises(MediaError) as caught:
        audio(head, b"")
    assert caught.value.reason == reason


# conformance 74
@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("90 68766331", Classified(Role.VIDEO_HEADER, "hvc1")),
        ("80 68766331", Classified(Role.VIDEO_HEADER, "hvc1")),
        ("91 68766331", Classified(Role.KEYFRAME, "hvc1")),
        ("93 68766331", Classified(Role.KEYFRAME, "hvc1")),
        ("93 61763031", Classified(Role.KEYFRAME, "av01")),
        ("c1 76703039", Classified(Role.KEYFRAME, "vp09")),
        ("a1 68766331", Classified(Role.FRAME, "hvc1")),
        ("a3 68766331", Classified(Role.FRAME, "hvc1")),
        ("b1 61766331", Classified(Role.FRAME, "avc1")),
        ("92 61763031", Classified(Role.END, "av01")),
        ("a2 61763031", Classified(Role.END, "av01")),
        ("84 68766331", Classified(Role.VIDEO_INFO, "hvc1")),  # OBS
        ("d4 68766331", Classified(Role.VIDEO_INFO, "hvc1")),  # FFmpeg
        ("95 61763031", Classified(Role.VIDEO_HEADER, "av01")),  # MPEG2TSSequenceStart
        ("91 786d6e6f", Classified(Role.KEYFRAME, "")),  # a FourCC nobody knows
        ("d1", DROP),  # a command frame has no FourCC
        ("d0 00", DROP),
    ],
)
def test_c74_enhanced_video(head: str, expected: Classified) -> None:
    assert video(head) == expected


@pytest.mark.parametrize(
    "head", ["91 68766331 000000", "93 68766331", "90 68766331", "a3 61763031"]
)
def test_enhanced_video_without_a_body_is_dropped(head: str) -> None:
    assert video(head, b"") == DROP


def test_a_short_enhanced_end_is_an_end() -> None:
    assert video("92 68766331", b"") == Classified(Role.END, "hvc1")


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("90 4f707573", Classified(Role.AUDIO_HEADER, "Opus")),
        ("91 4f707573", Classified(Role.AUDIO, "Opus")),
        ("91 664c6143", Classified(Role.AUDIO, "fLaC")),
        ("91 2e6d7033", Classified(Role.AUDIO, "mp3")),
        ("92 6d703461", Classified(Role.END, "mp4a")),
        ("94 6d703461", Classified(Role.AUDIO_INFO, "mp4a")),
    ],
)
def test_c74_enhanced_audio(head: str, expected: Classified) -> None:
    assert audio(head) == expected


def test_an_empty_opus_header_is_a_header() -> None:
    assert audio("90 4f707573", b"") == Classified(Role.AUDIO_HEADER, "Opus")


# conformance 75
@pytest.mark.parametrize(
    "modex",
    [
        "02 000102 01",  # 3 bytes: TimestampOffsetNano
        "00 aa 01",  # the smallest
        "ff 0002 000102 01",  # 16-bit size
        "02 000102 07 ff 0000 aa 01",  # chained, both forms
        "ff ffff" + "00" * 65_536 + "01",
    ],
)
def test_c75_modex_is_seen_through(modex: str) -> None:
    assert video("97 " + modex + " 68766331") == Classified(Role.KEYFRAME, "hvc1")
    assert video("a7 " + modex + " 68766331") == Classified(Role.FRAME, "hvc1")
    assert audio("97 " + modex + " 4f707573") == Classified(Role.AUDIO, "Opus")


def test_c75_a_modex_size_byte_of_ff_escapes_to_16_bits_and_fe_does_not() -> None:
    assert video("97 fe" + "00" * 255 + "01 68766331").codec == "hvc1"


def test_a_chain_of_modex_is_bounded() -> None:
    with pytest.raises(MediaError, match="modex_chain"):
        video("97" + "00 aa 07" * 1000 + "00 aa 01 68766331")


# conformance 76
def test_c76_one_track() -> None:
    head = multitrack("96", "00", b"hvc1", b"\x03")
    assert classify(VIDEO, head + BODY) == Classified(Role.VIDEO_HEADER, "hvc1", 3)
    key = multitrack("96", "01", b"hvc1", b"\x00")
    assert classify(VIDEO, key + BODY) == Classified(Role.KEYFRAME, "hvc1", 0)
    sound = multitrack("95", "01", b"Opus", b"\x02")
    assert classify(AUDIO, sound + BODY) == Classified(Role.AUDIO, "Opus", 2)


def test_c76_random_access_is_defined_by_track_0() -> None:
    other = multitrack("96", "01", b"hvc1", b"\x01") + BODY
    assert classify(VIDEO, other) == Classified(Role.FRAME, "hvc1", 1)
    both = multitrack("96", "11", b"avc1", sized(1, BODY), sized(0, BODY))
    assert classify(VIDEO, both) == Classified(Role.KEYFRAME, "avc1", SEVERAL_TRACKS)
    others = multitrack("96", "11", b"avc1", sized(1, BODY), sized(2, BODY))
    assert classify(VIDEO, others) == Classified(Role.FRAME, "avc1", SEVERAL_TRACKS)
    inter = multitrack("a6", "11", b"avc1", sized(0, BODY), sized(1, BODY))
    assert classify(VIDEO, inter) == Classified(Role.FRAME, "avc1", SEVERAL_TRACKS)


def test_c76_many_tracks_many_codecs() -> None:
    body = multitrack("96", "20", sized(0, BODY, b"avc1"), sized(1, BODY, b"av01"))
    assert classify(VIDEO, body) == Classified(Role.VIDEO_HEADER, "avc1", SEVERAL_TRACKS)
    assert track_ids(VIDEO, body) == {0, 1}
    sound = multitrack("95", "20", sized(4, BODY, b"Opus"), sized(1, BODY, b"mp4a"))
    assert classify(AUDIO, sound) == Classified(Role.AUDIO_HEADER, "Opus", SEVERAL_TRACKS)
    assert track_ids(AUDIO, sound) == {1, 4}


def test_c76_several_tracks_with_one_in_them_are_that_track() -> None:
    body = multitrack("96", "11", b"avc1", sized(0, BODY))
    assert classify(VIDEO, body) == Classified(Role.KEYFRAME, "avc1", 0)


def test_c76_metadata_of_a_track_with_ffmpegs_frame_type() -> None:
    body = multitrack("d6", "04", b"hvc1", b"\x01") + BODY
    assert classify(VIDEO, body) == Classified(Role.VIDEO_INFO, "hvc1", 1)
    assert video("d6 01", b"") == DROP  # a command


@pytest.mark.parametrize("first", ["96", "95"])
def test_c76_a_size_overrun_is_an_error(first: str) -> None:
    body = multitrack(first, "11", b"mp4a", sized(0, BODY), b"\x01\x00\x01\x00", BODY)
    with pytest.raises(MediaError, match="track_size"):
        classify(VIDEO if first == "96" else AUDIO, body)


def test_tracks_in_a_message_are_bounded() -> None:
    body = multitrack("96", "11", b"avc1", *(sized(track, b"x") for track in range(9)))
    with pytest.raises(MediaError, match="too_many_tracks"):
        classify(VIDEO, body)


# conformance 77
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("17 01 000028 aa", 40),
        ("27 01 ffffd8 aa", -40),
        ("2c 01 800000 aa", -(1 << 23)),
        ("17 00 000028 aa", 0),
        ("22 01 000028 aa", 0),
        ("91 68766331 ffffff aa", -1),
        ("a1 61766331 7fffff aa", (1 << 23) - 1),
        ("93 68766331 ffffff aa", 0),
        ("91 61763031 ffffff aa", 0),
        ("96 01 68766331 00 fffffe aa", -2),
        ("d1 00", 0),
        ("", 0),
    ],
)
def test_c77_composition_time_is_signed(body: str, expected: int) -> None:
    assert composition_time_ms(bytes.fromhex(body)) == expected


@pytest.mark.parametrize("body", ["27 01 0000", "91 68766331 0000"])
def test_a_cut_composition_time_raises(body: str) -> None:
    with pytest.raises(MediaError, match="truncated"):
        composition_time_ms(bytes.fromhex(body))


def test_the_tables_stay_small() -> None:
    # They are made at every start, and unknown heads must not be able to grow them.
    video("91 00010203")
    assert len(flv._VIDEO_HEADS) + len(flv._AUDIO_HEADS) < 1000


@pytest.mark.parametrize(
    ("type_id", "body", "expected"),
    [
        (VIDEO, "17 01 000000 00", True),
        (VIDEO, "27 01 000000 00", True),
        (AUDIO, "af 01 00", True),
        (VIDEO, "17 00 000000 00", False),
        (AUDIO, "af 00 00", False),
        (VIDEO, "17 01 00", False),  # cut
        (VIDEO, "", False),
    ],
)
def test_sound_and_pictures_are_told_from_headers(type_id: int, body: str, expected: bool) -> None:
    assert is_coded(type_id, bytes.fromhex(body)) is expected
