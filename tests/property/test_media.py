"""Media bodies, data and caches: whatever comes, the answer is one that the contract names."""

from contextlib import suppress
from functools import partial
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from common.errors import MediaError
from common.media import ertmp, flv
from common.media.codec import FOURCC_NAMES
from common.media.flv_file import FlvTag, file_header, read_tags, tag
from common.media.gop import GopCache
from common.media.metadata import DataKind, parse_data
from common.media.packet import Packet, Role
from common.rtmp import amf0
from common.rtmp.amf_values import UNDEFINED, Date, EcmaArray, TypedObject, XmlDocument
from common.rtmp.limits import RtmpLimits

LIMITS = RtmpLimits()

FOURCCS = st.sampled_from(sorted(FOURCC_NAMES)) | st.binary(min_size=4, max_size=4)
HEADS = (
    st.binary(max_size=6)
    | st.builds(lambda first, fourcc: bytes((first,)) + fourcc, st.integers(0x80, 0xFF), FOURCCS)
    | st.builds(
        lambda first, kind, fourcc: bytes((first, kind)) + fourcc,
        st.sampled_from([0x96, 0xA6, 0xD6, 0x95]),
        st.integers(0, 0x2F),
        FOURCCS,
    )
    | st.builds(
        lambda size, after, fourcc: bytes((0x97, size)) + bytes(size + 1) + after + fourcc,
        st.integers(0, 9),
        st.binary(min_size=1, max_size=1),
        FOURCCS,
    )
)
BODIES = st.builds(lambda head, tail: head + tail, HEADS, st.binary(max_size=24))


def outcome(classify: Any, body: bytes) -> Any:
    try:
        return classify(body)
    except MediaError as error:
        return error.reason


@given(BODIES)
def test_the_tables_say_what_the_parsers_say(body: bytes) -> None:
    for type_id, parse in ((9, flv._classify_video), (8, flv._classify_audio)):
        assert outcome(partial(flv.classify, type_id), body) == outcome(parse, body)


@given(BODIES)
def test_other_readers_of_bodies_raise_media_errors_only(body: bytes) -> None:
    for type_id in (8, 9):
        with suppress(MediaError):
            flv.track_ids(type_id, body)
    with suppress(MediaError):
        assert -(1 << 23) <= flv.composition_time_ms(body) < 1 << 23


TRACKS = st.lists(
    st.tuples(st.integers(0, 255), FOURCCS, st.binary(max_size=20)), min_size=1, max_size=8
)
MODEX = st.lists(st.binary(min_size=1, max_size=600), max_size=3)


def with_modex(first: int, packet_type: int, chain: list[bytes]) -> bytes:
    out = bytearray((first | packet_type if not chain else first | 7,))
    for index, data in enumerate(chain):
        size = len(data) - 1
        out += bytes((size,)) if size < 255 else b"\xff" + size.to_bytes(2, "big")
        out += data
        out.append(7 if index + 1 < len(chain) else packet_type)
    return bytes(out)


@given(TRACKS, MODEX, st.booleans(), st.booleans())
def test_multitrack_bodies_come_apart_as_they_were_put_together(
    tracks: list[tuple[int, bytes, bytes]], chain: list[bytes], is_video: bool, one_codec: bool
) -> None:
    if one_codec:
        tracks = [(track_id, tracks[0][1], data) for track_id, _, data in tracks]
    body = bytearray(with_modex(0x90, 6 if is_video else 5, chain))
    body.append(0x11 if one_codec else 0x21)
    body += tracks[0][1] if one_codec else b""
    for track_id, fourcc, data in tracks:
        body += b"" if one_codec else fourcc
        body += bytes((track_id,)) + len(data).to_bytes(3, "big") + data
    parsed = (ertmp.parse_video if is_video else ertmp.parse_audio)(bytes(body))
    assert parsed.packet_type == 1
    assert [
        (track.track_id, track.fourcc, body[track.start : track.end]) for track in parsed.tracks
    ] == tracks


TAGS = st.lists(
    st.builds(
        FlvTag, st.sampled_from([8, 9, 18]), st.integers(0, (1 << 31) - 1), st.binary(max_size=50)
    ),
    max_size=5,
)


@given(TAGS, st.integers(0, 300))
def test_flv_files_are_read_as_they_were_written_or_refused_where_cut(
    tags: list[FlvTag], cut: int
) -> None:
    data = file_header(audio=True, video=True) + b"".join(tag(*each) for each in tags)
    assert list(read_tags(data)) == tags
    read: list[FlvTag] = []
    with suppress(MediaError):
        read.extend(read_tags(data[:cut]))
    assert read == tags[: len(read)]


SCALARS = (
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=5)
    | st.just(UNDEFINED)
    | st.builds(Date, st.floats(allow_nan=False))
    | st.builds(XmlDocument, st.text(max_size=5))
)
KEYS = st.text(max_size=5) | st.sampled_from(["duration", "filesize", "keyframes", "é" * 64])
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.dictionaries(KEYS, inner, max_size=4).map(EcmaArray)
        | st.dictionaries(KEYS, inner, max_size=4).map(lambda each: TypedObject("T", each))
    ),
    max_leaves=10,
)
NAMES = st.sampled_from(["onMetaData", "onTextData", "onStatus"]) | st.text(max_size=70)


@given(NAMES, st.lists(VALUES, max_size=3), st.booleans())
def test_relayed_data_is_clean_already(name: str, values: list[Any], framed: bool) -> None:
    payload = amf0.encode(*["@setDataFrame"] * framed, name, *values)
    message = parse_data(payload, LIMITS)
    if message is not None and message.kind is not DataKind.CLEAR:
        again = parse_data(message.payload, LIMITS)
        assert again is not None
        assert again.payload == message.payload
        assert again.name == message.name


@given(st.binary(max_size=200))
def test_data_of_any_bytes_raises_media_errors_only(payload: bytes) -> None:
    for before in (b"", amf0.encode("onMetaData"), b"\x02\x00\x0d@setDataFrame"):
        with suppress(MediaError):
            parse_data(before + payload, LIMITS)


PACKETS = st.builds(
    Packet,
    st.just(9),
    st.integers(-100, 5000),
    st.integers(0, 60).map(bytes),
    st.sampled_from([Role.KEYFRAME, Role.FRAME, Role.AUDIO, Role.DATA, Role.END, Role.METADATA]),
)


@given(st.lists(PACKETS, max_size=40))
def test_the_gop_cache_keeps_to_its_limits_and_begins_with_a_keyframe(
    packets: list[Packet],
) -> None:
    cache = GopCache(max_bytes=200, max_seconds=3, max_packets=8)
    keyframes = 0
    for packet in packets:
        cache.add(packet)
        keyframes += packet.role is Role.KEYFRAME
        assert cache.generation == keyframes
        kept = cache.packets
        assert len(kept) <= 8
        assert sum(len(each.payload) for each in kept) <= 200
        if kept:
            assert [each.role for each in kept].index(Role.KEYFRAME) == 0
            assert all(each.timestamp - kept[0].timestamp <= 3000 for each in kept)
